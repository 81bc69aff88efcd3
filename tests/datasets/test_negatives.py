import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tfrec.config import Config, SplitConfig
from tfrec.datasets import Impressions, load_impressions, split_impressions
from tfrec.datasets.assemble import assemble
from tfrec.datasets.dataset import Dataset
from tfrec.datasets.negatives import draw_negatives
from tfrec.datasets.splits import TEST, TRAINING, VALIDATION
from tfrec.errors import InputError


def bought(*rows: tuple[str, int, int], shared_clock: bool = True) -> Dataset:
    """Who took which of ten items when; every second was also returned."""
    users, items, times = zip(*rows, strict=True)
    interactions = pa.table(
        {
            "user_id": list(users),
            "item_id": [str(item) for item in items],
            "timestamp": list(times),
            "label": np.ones(len(rows), np.float32),
            "returned": np.arange(len(rows), dtype=np.float32) % 2,
        }
    )
    catalogue = pd.DataFrame({"item_id": [str(number) for number in range(10)]}, dtype="str")
    return assemble("baskets", interactions, catalogue, outcomes=("returned",), shared_clock=shared_clock)


# Ann takes 0 and 1 at once, then 2; Bob takes 3, then 4 and 0 when nobody takes anything any more.
ROWS = [("ann", 0, 5), ("ann", 1, 5), ("ann", 2, 9), ("bob", 3, 1), ("bob", 4, 20), ("bob", 0, 30)]


def draw(dataset: Dataset, number: int, seed: int = 0, kind: str = "leave_last_out") -> Impressions:
    split = SplitConfig(kind=kind, minimum_users=1, test_fraction=0.2, validation_fraction=0.2)
    return draw_negatives(split_impressions(dataset, split), dataset, number, seed)


def test_each_is_followed_by_what_was_not_taken_then() -> None:
    drawn = draw(bought(*ROWS), 40)
    # Ann's last is followed by forty; her first two have but item 3 to draw, and a few draws did not meet it.
    assert drawn.labels[drawn.past == drawn.past[drawn.rows == 2][0]].tolist() == [1.0] + [0.0] * 40
    assert 35 < (drawn.rows == 0).sum() <= 41
    by_moment = {
        (user, past): set(drawn.items[(drawn.past == past) & (drawn.users == user) & (drawn.labels == 0)])
        for user, past in zip(drawn.users.tolist(), drawn.past.tolist(), strict=True)
    }
    sets = sorted(map(sorted, by_moment.values()))
    # Bob's first: nothing else was on sale. Ann's first two: 3 alone, and not each other. Then 0, 1 and 3; and so on.
    assert sets == sorted([[], [3], [0, 1, 3], [0, 1, 2, 3], [1, 2, 3, 4]])
    assert not drawn.outcomes[drawn.labels == 0].any()
    assert not drawn.remembered[drawn.labels == 0].any()


def test_they_are_of_the_part_and_the_moment_of_their_own() -> None:
    before = split_impressions(bought(*ROWS), SplitConfig(minimum_users=1))
    drawn = draw(bought(*ROWS), 3)
    for part in (TRAINING, VALIDATION, TEST):
        inside = drawn.parts == part
        assert drawn.labels[inside].sum() == before.labels[before.parts == part].sum()
    liked = drawn.labels == 1
    np.testing.assert_array_equal(drawn.rows[liked], before.rows)
    # The past of each is the first impression of its moment, before and after.
    np.testing.assert_array_equal(drawn.rows[drawn.past[liked]], before.rows[before.past])
    assert (drawn.users[drawn.past] == drawn.users).all()
    assert liked[drawn.past].all()


def test_without_a_shared_clock_they_are_items_of_training() -> None:
    drawn = draw(bought(*ROWS, shared_clock=False), 30)
    trained = set(drawn.items[(drawn.parts == TRAINING) & (drawn.labels == 1)])
    assert set(drawn.items[drawn.labels == 0]) == trained


def test_the_same_seed_draws_the_same() -> None:
    first, second, other = (draw(bought(*ROWS), 8, seed).items.tolist() for seed in (1, 1, 2))
    assert first == second
    assert first != other


def test_what_is_new_is_not_taken_to_be_unwanted() -> None:
    """Items that are first sold late are liked as often in training as others: at the rate of the mixture."""
    generator = np.random.default_rng(0)
    times = np.sort(generator.integers(0, 1000, 3000))
    rows = [
        (f"u{generator.integers(200)}", int(generator.integers(10 if time > 300 else 5)), int(time)) for time in times
    ]
    drawn = draw(bought(*rows), 4, kind="global_time")
    for new in (False, True):
        chosen = (drawn.items >= 5) == new
        for part in (TRAINING, VALIDATION, TEST):
            assert drawn.labels[chosen & (drawn.parts == part)].mean() == pytest.approx(0.2, abs=0.06)


@pytest.mark.parametrize("kind", ["leave_last_out", "last_fraction", "global_time"])
def test_every_split_has_both_kinds_in_every_part(kind: str) -> None:
    generator = np.random.default_rng(0)
    rows = [(f"u{generator.integers(20)}", int(generator.integers(10)), time) for time in range(600)]
    settings = {"data.interactions.path": "orders.csv", "data.negatives": 2, "model.name": "dnn", "split.kind": kind}
    drawn = load_impressions(bought(*rows), Config.load(None, settings))
    for part in (TRAINING, VALIDATION, TEST):
        assert 0.3 < drawn.labels[drawn.parts == part].mean() < 0.4


def test_histories_hold_no_drawn_items() -> None:
    settings = {"data.interactions.path": "orders.csv", "data.negatives": 2, "model.name": "dnn"}
    for strange in ({"features.history_labels": True}, {"split.kind": "cold_items"}, {"model.name": "two_tower"}):
        with pytest.raises(
            InputError, match=r"data\.negatives is for models that predict the click from what was liked"
        ):
            Config.load(None, {**settings, **strange})
