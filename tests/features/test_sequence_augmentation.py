"""What training makes of histories: what is asked is right, and was not read before."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.config import AugmentationConfig
from tfrec.datasets.ragged import Ragged
from tfrec.features.context import HISTORY_EVENT, HISTORY_TIME
from tfrec.features.sequence_augmentation import SequenceAugmentation
from tfrec.features.windows import SequenceWindows

NUM_ITEMS, SIMILAR = 400, 1000
"""Items count up within a user; what is similar to item index i is SIMILAR + i."""

EVERYTHING = ("crop", "mask", "reorder", "insert", "substitute")


def users(*lengths: int) -> Ragged:
    """User u has the items 30 u, 30 u + 1, …; event and time of an item are its own number plus 1, times ten."""
    values = np.concatenate([30 * user + np.arange(length) for user, length in enumerate(lengths)]).astype(np.int32)
    context = {HISTORY_EVENT: values + 1, HISTORY_TIME: 10 * (values + 1).astype(np.int64)}
    return Ragged.from_lengths(values, np.array(lengths), context)


def similar_table(*offsets: int) -> np.ndarray:
    table = np.arange(NUM_ITEMS + 2)[:, None] + np.array(offsets)
    table[:2] = 0
    return table.astype(np.int32)


def augmented(
    rows: Ragged, *names: str, history_length: int = 8, similar: np.ndarray | None = None, **rates: float
) -> SequenceWindows:
    settings = AugmentationConfig(sequences=names, **{"share": 1.0, **rates})
    similar = similar_table(SIMILAR) if similar is None else similar
    return SequenceWindows(rows, history_length, SequenceAugmentation(settings, history_length, similar))


def epoch(windows: SequenceWindows, epochs: int = 1, first: int = 0, batch_size: int = 4) -> list[dict]:
    return list(windows.dataset(batch_size, 7, first, epochs).as_numpy_iterator())


def histories(windows: SequenceWindows, epochs: int = 5) -> list[tuple[list[int], list[int]]]:
    """History and targets of all rows of some epochs, without padding."""
    return [
        (history[history != 0].tolist(), target[history != 0].tolist())
        for batch in epoch(windows, epochs)
        for history, target in zip(batch["history"], batch["target"], strict=True)
    ]


@given(
    lengths=st.lists(st.integers(2, 25), min_size=1, max_size=5),
    names=st.lists(st.sampled_from(EVERYTHING), min_size=1, max_size=5, unique=True),
    rate=st.floats(0.1, 0.9),
    share=st.sampled_from([0.5, 1.0]),
    history_length=st.integers(2, 9),
)
@settings(max_examples=25)
def test_what_is_asked_came_next_and_was_not_read(
    lengths: list[int], names: list[str], rate: float, share: float, history_length: int
) -> None:
    rows = users(*lengths)
    rates = dict.fromkeys(EVERYTHING, rate)
    windows = augmented(rows, *names, history_length=history_length, share=share, **rates)
    plain = windows.batch(windows.numbers)
    num_asked = 0
    for seed in range(3):
        batch = {name: array.numpy() for name, array in windows.varied(plain, tf.constant([seed, 1])).items()}
        assert batch["history"].shape == batch["target"].shape
        assert 0 < batch["history"].shape[1] <= history_length
        for user, history, target in zip(batch["user"], batch["history"], batch["target"], strict=True):
            filled = history != 0
            assert (np.diff(filled.astype(int)) <= 0).all()
            assert not target[~filled].any()
            # The similar ones stand for the items that they are similar to.
            source = np.where(history >= SIMILAR, history - SIMILAR, history)
            own = 30 * (user - 2) + 2
            assert all(index == 1 or own <= index < own + lengths[user - 2] for index in source[filled])
            for place in np.flatnonzero(target):
                num_asked += 1
                read = source[: place + 1]
                assert own < target[place] < own + lengths[user - 2]
                assert read.max() < target[place]
                # Nothing is skipped but what is hidden.
                if 1 not in read:
                    assert read.max() == target[place] - 1
                assert read.max() >= 2
            asked = target[target != 0]
            assert len(set(asked)) == len(asked)
    assert num_asked


def test_crop_is_a_stretch() -> None:
    # 8 items and a target each: .5 of them are 4, and .45 of them 3.
    found = histories(augmented(users(9), "crop", crop=0.5), epochs=40)
    assert {tuple(history) for history, _ in found} == {tuple(range(low, low + 4)) for low in range(2, 7)}
    assert all(target == [item + 1 for item in history] for history, target in found)
    assert {len(history) for history, _ in histories(augmented(users(9), "crop", crop=0.45))} == {3}
    # However short a history is, something is left of it.
    assert histories(augmented(users(2), "crop", crop=0.1), epochs=1)[0] == ([2], [3])


def test_crop_reaches_what_a_window_asks() -> None:
    # The windows after the first begin with four items that are not asked.
    for history, target in histories(augmented(users(25), "crop", crop=0.25), epochs=20):
        assert len(history) == 2 and any(target)


def test_mask_hides_and_asks_all_the_same() -> None:
    found = histories(augmented(users(9), "mask", mask=0.3), epochs=400)
    hidden = np.array([[item == 1 for item in history] for history, _ in found])
    # 400 epochs of one row of 8: binomial, standard deviation .008.
    assert hidden.mean() == pytest.approx(0.3, abs=0.04)
    for (history, target), is_hidden in zip(found, hidden, strict=True):
        assert [item for item in history if item != 1] == (np.arange(2, 10)[~is_hidden]).tolist()
        before = np.cumsum(~is_hidden) == 0  # Nothing but hidden items was read.
        assert target == np.where(before, 0, np.arange(3, 11)).tolist()


def test_reorder_moves_a_stretch_and_asks_at_its_end() -> None:
    found = histories(augmented(users(9), "reorder", reorder=0.5), epochs=60)
    assert all(sorted(history) == list(range(2, 10)) for history, _ in found)
    firsts = set()
    for history, target in found:
        asked = np.flatnonzero(target)
        [first] = [low for low in range(5) if not any(target[low : low + 3]) and len(asked) == 5 and target[low + 3]]
        assert history[:first] == list(range(2, 2 + first))
        assert [target[place] for place in asked] == [place + 3 for place in asked]
        firsts.add(first)
    assert firsts == set(range(5))
    assert len({tuple(history) for history, _ in found}) > 20
    # Two items are the fewest that have an order.
    assert {tuple(history) for history, _ in histories(augmented(users(3), "reorder"), 20)} == {(2, 3), (3, 2)}
    assert {tuple(target) for _, target in histories(augmented(users(3), "reorder"), 20)} == {(0, 4)}
    assert histories(augmented(users(2), "reorder"), 1)[0] == ([2], [3])


def test_insert_puts_a_similar_item_behind_and_asks_there() -> None:
    found = histories(augmented(users(5), "insert", insert=0.5, history_length=8), epochs=60)
    for history, target in found:
        assert [item for item in history if item < SIMILAR] == [2, 3, 4, 5]
        for place, item in enumerate(history):
            behind = history[place + 1] if place + 1 < len(history) else 0
            if item >= SIMILAR:
                assert history[place - 1] == item - SIMILAR
                assert target[place] == item - SIMILAR + 1
            else:
                assert target[place] == (0 if behind == SIMILAR + item else item + 1)
    assert {len(history) for history, _ in found} == set(range(4, 9))


def test_what_an_insertion_leaves_no_room_for_is_the_oldest() -> None:
    [(history, target), *_] = histories(augmented(users(5), "insert", insert=1.0, history_length=4), epochs=1)
    assert history == [4, SIMILAR + 4, 5, SIMILAR + 5]
    assert target == [0, 5, 0, 6]


def test_substitute_replaces_and_asks_as_before() -> None:
    found = histories(augmented(users(9), "substitute", substitute=0.3), epochs=400)
    replaced = np.array([[item >= SIMILAR for item in history] for history, _ in found])
    assert replaced.mean() == pytest.approx(0.3, abs=0.04)
    for history, target in found:
        assert [item % SIMILAR for item in history] == list(range(2, 10))
        assert target == list(range(3, 11))


@pytest.mark.parametrize("name", ["insert", "substitute"])
def test_what_the_user_did_is_not_brought_in_as_similar(name: str) -> None:
    # The next item is among the similar ones, which would give the answer away; and so is the one after.
    windows = augmented(users(9), name, similar=similar_table(1, 2, SIMILAR), insert=1.0, substitute=1.0)
    own = set(range(2, 11))
    similar = set()
    for history, _ in histories(windows, epochs=60):
        similar |= {item for item in history if item not in own}
        assert len(history) == len(set(history))
    # What comes after the user's last item was never done, and may come.
    assert similar == {11} | {SIMILAR + item for item in range(2, 10)} if name == "substitute" else similar >= {11}


def test_one_of_several_similar_items_is_drawn_and_none_where_there_is_none() -> None:
    table = similar_table(SIMILAR, 2 * SIMILAR, 0)
    table[:, 2] = 0  # padding
    table[5] = 0
    found = histories(augmented(users(9), "substitute", similar=table, substitute=1.0), epochs=60)
    seen = [{history[place] for history, _ in found} for place in range(8)]
    assert seen == [{5} if item == 5 else {SIMILAR + item, 2 * SIMILAR + item} for item in range(2, 10)]


@pytest.mark.parametrize("names", [(name,) for name in EVERYTHING])
def test_the_context_goes_with_the_items_and_times_stay_in_order(names: tuple[str]) -> None:
    for batch in epoch(augmented(users(9, 4, 6), *names, reorder=0.5), 4):
        items = batch["history"] % SIMILAR
        known = items >= 2
        np.testing.assert_array_equal(batch[HISTORY_EVENT][known], items[known] - 1)
        assert not batch[HISTORY_EVENT][batch["history"] == 0].any()
        times = np.sort(np.where(known, 10 * (items - 1), batch[HISTORY_TIME]), axis=1)
        np.testing.assert_array_equal(np.sort(batch[HISTORY_TIME], axis=1), times)
        for row, filled in zip(batch[HISTORY_TIME], batch["history"] != 0, strict=True):
            assert (np.diff(row[filled]) >= 0).all()


def test_only_a_share_is_varied_and_all_ways_take_turns() -> None:
    windows = augmented(users(*[9] * 6), "crop", "substitute", share=0.5, substitute=1.0)
    found = histories(windows, epochs=100)
    kinds = [
        "crop" if len(history) < 8 else "substitute" if history[0] >= SIMILAR else "as it is" for history, _ in found
    ]
    shares = {kind: kinds.count(kind) / len(kinds) for kind in set(kinds)}
    # 800 rows: standard deviations of .018 and .015.
    assert shares == pytest.approx({"as it is": 0.5, "crop": 0.25, "substitute": 0.25}, abs=0.07)
    # What is not varied is what it was.
    plain = {tuple(history) for history, _ in histories(SequenceWindows(users(*[9] * 6), 8), 1)}
    assert {tuple(history) for (history, _), kind in zip(found, kinds, strict=True) if kind == "as it is"} == plain


def test_each_epoch_is_varied_anew_and_a_resumed_run_sees_the_same() -> None:
    rows = users(*range(5, 15))

    def flat(batches: list[dict]) -> list[list]:
        return [batch[name].tolist() for batch in batches for name in ("user", "history", "target")]

    windows = augmented(rows, *EVERYTHING)
    undisturbed = flat(epoch(windows, 4))
    assert flat(epoch(augmented(rows, *EVERYTHING), 4)) == undisturbed
    assert flat(epoch(windows, 4, first=2)) == undisturbed[len(undisturbed) // 2 :]
    of_user: dict[int, set] = {}
    for batch in epoch(windows, 4, batch_size=1):
        of_user.setdefault(int(batch["user"][0]), set()).add(tuple(batch["history"][0]))
    assert np.mean([len(found) for found in of_user.values()]) > 2


def test_similar_items_are_needed_to_insert() -> None:
    with pytest.raises(ValueError, match="Expected similar items"):
        SequenceAugmentation(AugmentationConfig(sequences=("insert",)), 8)


def test_an_unvaried_batch_is_left_as_it_is() -> None:
    windows = SequenceWindows(users(9, 4), 8)
    batch = windows.batch(windows.numbers)
    assert windows.varied(batch, tf.constant([0, 0])) is batch
