from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar
from unittest import mock

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.config import Config, SplitConfig
from tfrec.datasets import Dataset, EvaluationSet, Ragged, Split, split_dataset, splits
from tfrec.datasets.assemble import assemble
from tfrec.errors import InputError


@pytest.fixture(scope="module", params=[2, 1 << 20], autouse=True)
def interactions_looked_at_at_once(request: pytest.FixtureRequest) -> Iterator[None]:
    """A user at a time, as of many interactions some are; and all together."""
    with mock.patch.object(splits, "_AT_ONCE", request.param):
        yield


Event = tuple[int, int, int]
"""User, item, time."""


def dataset(events: list[Event], shared_clock: bool = True) -> Dataset:
    """User 3 is called u3 and has code 3, likewise items: there are as many as the greatest says."""
    users, items, times = zip(*events, strict=True)
    return assemble(
        "events",
        pa.table({"user_id": [f"u{u}" for u in users], "item_id": [f"i{i}" for i in items], "timestamp": list(times)}),
        pd.DataFrame({"item_id": [f"i{i}" for i in range(max(items) + 1)]}, dtype="str"),
        pd.DataFrame({"user_id": [f"u{u}" for u in range(max(users) + 1)]}, dtype="str"),
        shared_clock=shared_clock,
    )


def lists(rows: Ragged) -> list[list[int]]:
    return [rows[row].tolist() for row in range(len(rows))]


def cases(part: EvaluationSet) -> dict[int, tuple[list[int], list[int]]]:
    """User -> history, targets."""
    both = zip(lists(part.histories), lists(part.targets), strict=True)
    return dict(zip(part.users.tolist(), both, strict=True))


def divide(events: list[Event], kind: str, **options: float) -> Split:
    return split_dataset(dataset(events), SplitConfig(kind=kind, **{"minimum_users": 1} | options))


class TestLeaveLastOut:
    def test_last_is_test_and_the_one_before_validation(self) -> None:
        # In time: user 0 takes 2, 0, 1, 3; user 1 takes 3, 1; user 2 takes nothing; user 3 takes 0, 1, 2.
        events = [(0, 1, 30), (0, 2, 10), (1, 3, 1), (0, 3, 40), (3, 0, 5), (0, 0, 20), (3, 1, 6), (1, 1, 2), (3, 2, 7)]
        split = divide(events, "leave_last_out")
        assert lists(split.train) == [[2, 0], [3, 1], [], [0]]
        assert cases(split.validation) == {0: ([2, 0], [1]), 3: ([0], [1])}
        assert cases(split.test) == {0: ([2, 0, 1], [3]), 3: ([0, 1], [2])}
        assert split.candidates is None
        assert split.notes == ("1 users with fewer than 3 interactions are only trained on.",)
        assert split.test.users.dtype == split.train.values.dtype == np.int32

    def test_of_many_users_some_are_drawn_and_stay_whole(self) -> None:
        events = [(user, item, time) for user in range(30) for time, item in enumerate((user, 31, 30, 32))]
        whole, drawn, again, other = (
            divide(events, "leave_last_out", max_cases=most, seed=seed)
            for most, seed in ((30, 0), (7, 0), (7, 0), (7, 1))
        )
        assert len(whole.test) == 30 and not whole.notes
        assert lists(drawn.train) == lists(whole.train)  # What is not asked stays held out.
        assert len(cases(drawn.test)) == len(cases(drawn.validation)) == 7
        assert cases(drawn.test).items() <= cases(whole.test).items()
        assert drawn.test.users.tolist() == sorted(again.test.users.tolist()) != other.test.users.tolist()
        assert drawn.notes == (
            "7 of 30 users in validation are drawn (split.max_cases).",
            "7 of 30 users in test are drawn (split.max_cases).",
        )

    def test_equal_times_keep_the_order_of_rows(self) -> None:
        split = divide([(0, 5, 1), (0, 2, 1), (0, 9, 1), (0, 7, 1)], "leave_last_out")
        assert cases(split.test) == {0: ([5, 2, 9], [7])}

    def test_repeated_consumption_is_no_target(self) -> None:
        # User 0's last is new, the one before is not; user 1's last is not.
        events = [(0, 1, 1), (0, 2, 2), (0, 1, 3), (0, 4, 4), (1, 1, 1), (1, 2, 2), (1, 3, 3), (1, 1, 4)]
        split = divide(events, "leave_last_out")
        assert cases(split.validation) == {1: ([1, 2], [3])}
        assert cases(split.test) == {0: ([1, 2, 1], [4])}
        assert lists(split.train) == [[1, 2], [1, 2]]
        assert split.notes == (
            "1 validation targets were in their user's history already: left out.",
            "1 test targets were in their user's history already: left out.",
        )


class TestLastFraction:
    def test_the_last_of_each_user_are_targets(self) -> None:
        # User 0 has ten: .25 are two for the test, .1 is one for validation. User 1 has three, and none of a fraction.
        events = [(0, item, item) for item in range(10)] + [(1, item, item) for item in (5, 6, 7)]
        split = divide(events, "last_fraction", test_fraction=0.25, validation_fraction=0.1)
        assert lists(split.train) == [[0, 1, 2, 3, 4, 5, 6], [5, 6, 7]]
        assert cases(split.validation) == {0: ([0, 1, 2, 3, 4, 5, 6], [7])}
        assert cases(split.test) == {0: ([0, 1, 2, 3, 4, 5, 6, 7], [8, 9])}


class TestGlobalTime:
    # Ten interactions: validation starts at the 7th in time (t = 7), test at the 9th (t = 9).
    EVENTS = (
        (0, 0, 1), (0, 1, 2), (1, 0, 3), (1, 2, 4), (2, 3, 5), (2, 1, 6),
        (0, 3, 7), (3, 1, 8),
        (0, 4, 9), (1, 4, 10),
    )  # fmt: skip

    def test_windows_follow_each_other(self) -> None:
        split = divide(list(self.EVENTS), "global_time", validation_fraction=0.2, test_fraction=0.2)
        assert lists(split.train) == [[0, 1], [0, 2], [3, 1], []]
        assert cases(split.validation) == {0: ([0, 1], [3])}
        assert cases(split.test) == {0: ([0, 1, 3], [4]), 1: ([0, 2], [4])}
        assert split.notes == ("1 users have validation targets but no history before them: left out.",)

    def test_one_moment_is_on_one_side(self) -> None:
        # The 7th to 9th happen at t = 7: validation holds all of them, and test what is later.
        events = [(u, i, 7 if 7 <= t <= 9 else t) for u, i, t in self.EVENTS]
        events += [(2, 4, 11), (2, 0, 12)]
        # Twelve interactions with places 12 * 0.6 = 7 (t = 7) and 12 * 0.8 = 10 (t = 10 is the 10th, at place 9).
        split = divide(events, "global_time", validation_fraction=0.2, test_fraction=0.2)
        assert cases(split.validation) == {0: ([0, 1], [3, 4]), 1: ([0, 2], [4])}
        assert cases(split.test) == {2: ([3, 1], [4, 0])}

    def test_targets_count_once(self) -> None:
        events = [(0, 0, 1), (0, 1, 2), (0, 2, 3), (0, 3, 4), (0, 4, 5), (0, 5, 6), (0, 6, 7), (0, 7, 8)]
        events += [(0, 8, 9), (0, 8, 10)]
        split = divide(events, "global_time", validation_fraction=0.2, test_fraction=0.2)
        assert cases(split.test) == {0: ([0, 1, 2, 3, 4, 5, 6, 7], [8])}

    def test_positions_within_users_are_refused(self) -> None:
        with pytest.raises(InputError, match="leave_last_out, last_fraction, cold_items or cold_users"):
            split_dataset(dataset(list(self.EVENTS), shared_clock=False), SplitConfig(kind="global_time"))


class TestRollingOrigin:
    # Ten interactions of each of two users, at t = 0 … 9 and t = .5 … 9.5, each with an item of its own.
    EVENTS = tuple((user, 10 * user + time, 2 * time + user) for time in range(10) for user in range(2))
    FRACTIONS: ClassVar = {"validation_fraction": 0.2, "test_fraction": 0.1, "origins": 3}

    def test_what_comes_after_the_test_does_not_exist(self) -> None:
        # Twenty interactions: two each are tested; at the first origin those at places 14 and 15, validated 10 to 13.
        split = divide(list(self.EVENTS), "rolling_origin", origin=1, **self.FRACTIONS)
        assert lists(split.train) == [[0, 1, 2, 3, 4], [10, 11, 12, 13, 14]]
        assert cases(split.validation) == {0: ([0, 1, 2, 3, 4], [5, 6]), 1: ([10, 11, 12, 13, 14], [15, 16])}
        assert cases(split.test) == {0: ([0, 1, 2, 3, 4, 5, 6], [7]), 1: ([10, 11, 12, 13, 14, 15, 16], [17])}

    def test_the_last_origin_is_global_time(self) -> None:
        rolling = divide(list(self.EVENTS), "rolling_origin", origin=3, **self.FRACTIONS)
        plain = divide(list(self.EVENTS), "global_time", validation_fraction=0.2, test_fraction=0.1)
        for part in ("validation", "test"):
            assert cases(getattr(rolling, part)) == cases(getattr(plain, part))
        assert lists(rolling.train) == lists(plain.train)

    @pytest.mark.parametrize("options", [{"origin": 4}, {"origins": 9}])
    def test_windows_that_do_not_fit_are_refused(self, options: dict[str, int]) -> None:
        settings = {"kind": "rolling_origin", **self.FRACTIONS, **options}
        with pytest.raises(InputError, match="origins"):
            Config.load(None, {"data.source": "movielens-100k", **{f"split.{key}": settings[key] for key in settings}})


class TestColdItems:
    def test_held_out_items_are_only_targets(self) -> None:
        events = [(user, item, time) for user in range(20) for time, item in enumerate(np.roll(range(10), user))]
        split = divide(events, "cold_items", validation_fraction=0.2, test_fraction=0.1)
        assert split.candidates is not None
        assert len(split.candidates) == 3
        test_items = {target for _, targets in cases(split.test).values() for target in targets}
        validation_items = {target for _, targets in cases(split.validation).values() for target in targets}
        assert len(test_items) == 1
        assert len(validation_items) == 2
        assert test_items | validation_items == set(split.candidates.tolist())
        warm = set(range(10)) - test_items - validation_items
        assert {item for row in lists(split.train) for item in row} == warm
        for user, (history, _) in cases(split.test).items():
            order = np.roll(range(10), user).tolist()
            (target,) = test_items
            assert history == [item for item in order[: order.index(target)] if item in warm]

    def test_seed_draws_the_items(self) -> None:
        events = [(user, item, time) for user in range(5) for time, item in enumerate(np.roll(range(40), 8 * user))]
        draws = [divide(events, "cold_items", seed=seed).candidates for seed in (0, 0, 1)]
        assert np.array_equal(draws[0], draws[1])
        assert not np.array_equal(draws[0], draws[2])


class TestColdUsers:
    def test_held_out_users_are_not_trained_on(self) -> None:
        # User u takes the items u, u + 1 and u + 2.
        events = [(user, user + time, time) for user in range(20) for time in range(3)]
        split = divide(events, "cold_users", validation_fraction=0.2, test_fraction=0.1)
        trained = set(np.flatnonzero(split.train.lengths).tolist())
        held_out = {**cases(split.validation), **cases(split.test)}
        assert (len(trained), len(split.validation), len(split.test)) == (14, 4, 2)
        assert trained | held_out.keys() == set(range(20)) and not trained & held_out.keys()
        assert held_out == {user: ([user, user + 1], [user + 2]) for user in held_out}
        assert lists(split.train.take(sorted(trained))) == [[user, user + 1, user + 2] for user in sorted(trained)]
        assert split.candidates is None

    def test_a_single_interaction_is_no_case(self) -> None:
        events = [(user, time, time) for user in range(10) for time in range(2)]
        events += [(user, 5, 5) for user in range(10, 20)]
        split = divide(events, "cold_users", validation_fraction=0.4, test_fraction=0.4)
        assert all(user < 10 for user in [*split.validation.users, *split.test.users])
        assert any("no history before them: left out" in note for note in split.notes)


def test_too_few_users_is_an_error_that_counts_them() -> None:
    with pytest.raises(InputError) as caught:
        divide([(0, 0, 1), (0, 1, 2), (0, 2, 3), (1, 0, 1)], "leave_last_out", minimum_users=2)
    message = str(caught.value)
    assert "at least 2 users in validation after split 'leave_last_out'. Received: 1 of 2 users" in message
    assert "split.minimum_users" in message
    assert "1 users with fewer than 3 interactions" in message


def test_split_without_training_data_is_an_error() -> None:
    with pytest.raises(InputError, match="interactions to train on"):
        divide([(0, 0, 1), (0, 1, 1)], "global_time")


def test_a_split_that_leaks_is_refused_where_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [(user, item, 10 * item + user) for user in range(3) for item in range(4)]
    make = splits._split
    with monkeypatch.context() as patch:
        # Training has all that users did.
        def all_trained(histories: Ragged, *rest: Any) -> tuple[Split, None, None]:
            return replace(make(histories, *rest)[0], train=histories), None, None

        patch.setattr(splits, "_split", all_trained)
        with pytest.raises(InputError, match="The split leaks"):
            divide(events, "leave_last_out")
    # A user of whom nothing is asked was trained on after the cut: no case shows it.
    events += [(3, 0, 99)]
    in_time = splits._RULES["global_time"]

    def late(dataset: Dataset, config: SplitConfig, histories: Ragged) -> splits._Rule:
        part_of = in_time(dataset, config, histories)

        def all_trained_of_user_3(some: Ragged, first: int) -> np.ndarray:
            return np.where(some.rows + first == 3, splits.TRAINING, part_of(some, first))

        return all_trained_of_user_3

    monkeypatch.setitem(splits._RULES, "global_time", late)
    with pytest.raises(InputError, match=r"before the cut, at .* Received: a training interaction at 99"):
        divide(events, "global_time", validation_fraction=0.25, test_fraction=0.25)


EVENTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9), st.integers(0, 12)), min_size=12, max_size=60)


@settings(max_examples=150)
@given(EVENTS, st.sampled_from(["leave_last_out", "global_time", "rolling_origin", "cold_items"]), st.integers(0, 3))
def test_nothing_leaks(events: list[Event], kind: str, seed: int) -> None:
    data = dataset(events)
    try:
        split = split_dataset(
            data, SplitConfig(kind=kind, minimum_users=1, seed=seed, validation_fraction=0.2, test_fraction=0.2)
        )
    except InputError:
        return
    ordered = {user: sorted((e for e in events if e[0] == user), key=lambda e: e[2]) for user in range(5)}
    num_targets = 0
    for part in (split.validation, split.test):
        assert np.all(np.diff(part.users) > 0)
        for user, (history, targets) in cases(part).items():
            done = [item for _, item, _ in ordered[user]]
            assert targets
            assert len(set(targets)) == len(targets)
            assert not set(targets) & set(history)
            # Each history is what was done first, up to a point; for cold items, without the cold.
            cold = set() if split.candidates is None else set(split.candidates.tolist())
            assert not set(history) & cold
            warm_places = [place for place, item in enumerate(done) if item not in cold]
            assert history == [done[place] for place in warm_places[: len(history)]]
            # Each target is done later than all of the history.
            end = warm_places[len(history) - 1]
            assert set(targets) <= set(done[end + 1 :])
            if kind in ("global_time", "rolling_origin"):
                time = ordered[user][end][2]
                assert all(any(i == target and t > time for _, i, t in ordered[user]) for target in targets)
            num_targets += len(targets)
    if split.candidates is None:
        # No interaction is both trained on and asked for.
        assert len(split.train.values) + num_targets <= len(events)
    else:
        assert not set(split.train.values.tolist()) & set(split.candidates.tolist())
        validation, test = (set(part.targets.values.tolist()) for part in (split.validation, split.test))
        assert not validation & test
        assert validation | test <= set(split.candidates.tolist())
    if kind == "leave_last_out":
        for user in range(data.num_users):
            done = [item for _, item, _ in ordered[user]]
            assert split.train[user].tolist() == (done[:-2] if len(done) >= 3 else done)
    if kind in ("global_time", "rolling_origin"):
        # All of the training is before all of the validation targets, which are before all of the test targets.
        trained = [
            ordered[user][len(split.train[user]) - 1][2] for user in range(data.num_users) if len(split.train[user])
        ]
        for part in (split.validation, split.test):
            for user, (_, targets) in cases(part).items():
                assert all(any(i == target and t > max(trained) for _, i, t in ordered[user]) for target in targets)


@pytest.mark.parametrize("seed", [-1, 2**31, 0.5])
def test_a_seed_that_no_generator_takes_is_refused(seed: float) -> None:
    with pytest.raises(InputError, match=r"'split\.seed'"):
        Config.load(None, {"data.source": "movielens-100k", "split.seed": seed})
    assert Config.load(None, {"data.source": "movielens-100k", "split.seed": 2**31 - 1}).split.seed == 2**31 - 1


@given(
    events=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 8), st.integers(0, 20)), min_size=12, max_size=40),
    kind=st.sampled_from(["leave_last_out", "global_time", "rolling_origin", "cold_items"]),
)
@settings(max_examples=60, deadline=None)
def test_context_stays_with_its_interactions(events: list[Event], kind: str) -> None:
    data = dataset(events)
    # A number of its own for each interaction, from which item, user and time can be told again.
    numbers = np.arange(len(events))
    data = replace(data, interactions=data.interactions.assign(row=numbers, negative=-numbers.astype(np.float32)))
    config = SplitConfig(kind=kind, minimum_users=1, validation_fraction=0.3, test_fraction=0.3, origins=2)
    try:
        split = split_dataset(data, config, ["row", "negative"])
    except InputError:
        return
    plain = split_dataset(data, config)
    users, items, times = (np.array(column) for column in zip(*events, strict=True))
    owners = (np.arange(len(split.train)), split.validation.users, split.test.users)
    parts = (split.train, split.validation.histories, split.test.histories)
    for rows, without, owner in zip(
        parts, (plain.train, plain.validation.histories, plain.test.histories), owners, strict=True
    ):
        assert lists(rows) == lists(without)
        assert without.context == {}
        numbers = rows.context["row"]
        np.testing.assert_array_equal(items[numbers], rows.values)
        np.testing.assert_array_equal(users[numbers], owner[rows.rows])
        np.testing.assert_array_equal(rows.context["negative"], -numbers)
        for row in range(len(rows)):
            of_row = numbers[rows.offsets[row] : rows.offsets[row + 1]]
            assert sorted(of_row, key=lambda number: (times[number], number)) == of_row.tolist()
    assert split.validation.targets.context == split.test.targets.context == {}
