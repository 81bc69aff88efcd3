from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tfrec.config import AugmentationConfig, FeaturesConfig
from tfrec.datasets.ragged import Ragged, stretch
from tfrec.errors import InputError
from tfrec.features import sequence_shards
from tfrec.features.context import HISTORY_TIME
from tfrec.features.epochs import EpochBatches
from tfrec.features.sequence_augmentation import SequenceAugmentation
from tfrec.features.sequence_shards import SequenceShards, next_item_examples, sequence_windows

Batch = dict[str, np.ndarray]
KINDS = pytest.mark.parametrize("kind", [next_item_examples, sequence_windows])


@pytest.fixture(autouse=True)
def four_shards_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequence_shards, "SHARDS_AT_ONCE", 4)


@pytest.fixture
def sequences(tmp_path: Path) -> Ragged:
    """200 users of 0 to 11 interactions, some 1,100, on the disk. Items tell user and place: 20 * user + place."""
    lengths = np.random.default_rng(0).integers(0, 12, 200)
    places = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    users = np.repeat(np.arange(200), lengths)
    arrays = {"values": (20 * users + places).astype(np.int32), "times": 1000 - users + 5 * places}
    for name, array in arrays.items():
        np.save(tmp_path / name, array)
    values, times = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in arrays)
    return Ragged.from_lengths(values, lengths, {HISTORY_TIME: times})


def features(interactions_at_once: int) -> FeaturesConfig:
    return FeaturesConfig(history_length=4, interactions_at_once=interactions_at_once)


def batches(examples: EpochBatches, batch_size: int = 16, seed: int = 3, *epochs: int) -> list[Batch]:
    return list(examples.dataset(batch_size, seed, *(epochs or (0, 1))).as_numpy_iterator())


def rows(batch: Batch) -> list[tuple]:
    """Each example, without padding: what stands beside an item, or the user, must stay with it."""
    parts = {name: [[*np.atleast_1d(row)] for row in array] for name, array in batch.items()}
    history = [len(np.trim_zeros(row, "b")) for row in parts["history"]]
    cut = {name: [row[:length] for row, length in zip(parts[name], history, strict=True)] for name in parts}
    return [tuple((name, *map(float, cut[name][place])) for name in sorted(cut)) for place in range(len(history))]


@KINDS
def test_an_epoch_has_the_examples_of_memory(kind: Callable, sequences: Ragged) -> None:
    in_memory, on_disk = kind(sequences, features(10_000)), kind(sequences, features(150))
    assert not isinstance(in_memory, SequenceShards) and isinstance(on_disk, SequenceShards)
    assert len(in_memory) == len(on_disk)
    expected = {row for batch in batches(in_memory) for row in rows(batch)}
    each = on_disk.num_batches(16)
    found = [row for batch in batches(on_disk, 16, 3, 0, 8) for row in rows(batch)]
    assert len(found) == 8 * each * 16
    for epoch in range(8):
        seen = set(found[epoch * each * 16 : (epoch + 1) * each * 16])
        # Eight groups or so, each of which leaves out or repeats less than a batch.
        assert seen <= expected and len(seen) > len(expected) - 8 * 16
    # What one epoch leaves out another one has.
    assert set(found) == expected


def test_whole_groups_lose_nothing(sequences: Ragged) -> None:
    """A batch size of one divides every group."""
    in_memory, on_disk = sequence_windows(sequences, features(10_000)), sequence_windows(sequences, features(150))
    expected = sorted(row for batch in batches(in_memory) for row in rows(batch))[: len(in_memory)]
    assert len(expected) == len(on_disk)
    found = [row for batch in batches(on_disk, 1) for row in rows(batch)]
    assert len(found) == len(set(found)) == len(on_disk)


def test_any_step_can_be_gone_on_from(sequences: Ragged, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = next_item_examples(sequences, features(150))
    both = batches(examples, 16, 3, 0, 2)
    num_read = []
    monkeypatch.setattr(examples, "_read", lambda shards, read=examples._read: num_read.append(1) or read(shards))
    rest = batches(examples, 16, 3, 0, 2, 17)
    assert len(rest) == len(both) - 17
    for one, other in zip(rest, both[17:], strict=True):
        for name in other:
            np.testing.assert_array_equal(one[name], other[name])
    num_read.clear()
    [last] = batches(examples, 16, 3, 0, 1, examples.num_batches(16) - 1)
    assert len(num_read) == 1  # Groups that are over are not read again.
    np.testing.assert_array_equal(last["target"], both[examples.num_batches(16) - 1]["target"])


def test_variants_are_the_same_from_any_step(sequences: Ragged) -> None:
    augmentation = SequenceAugmentation(AugmentationConfig(sequences=("crop", "mask")), history_length=4)
    examples = sequence_windows(Ragged(sequences.values, sequences.offsets), features(150), augmentation)
    whole, rest = batches(examples, 16, 3, 0, 1), batches(examples, 16, 3, 0, 1, 5)
    for one, other in zip(rest, whole[5:], strict=True):
        np.testing.assert_array_equal(one["history"], other["history"])


def test_batches_are_mixed(sequences: Ragged) -> None:
    """Neighbours on the disk are not neighbours in training: a batch's users come from all over."""
    examples = next_item_examples(sequences, features(300))
    found = batches(examples, 16, 3, 0, 2)
    spread = np.array([batch["user"].std() for batch in found])
    # 200 users drawn evenly: 200 / sqrt(12) = 58. One shard alone would be 200 / 16 / sqrt(12) = 4.
    assert 45 < spread.mean() < 62
    together = [frozenset(batch["user"].tolist()) for batch in found]
    first, second = together[: len(found) // 2], together[len(found) // 2 :]
    assert not set(first) & set(second)
    # A user is in one group of an epoch: in batches that follow each other.
    steps = [[step for step, users in enumerate(first) if user in users] for user in range(2, 202)]
    assert max(each[-1] - each[0] for each in steps if each) < len(first) // 2
    assert [set(each["user"]) for each in batches(examples, 16, 4)] != [set(each) for each in first]  # Another seed.


def test_ages_are_those_of_all_training(sequences: Ragged) -> None:
    oldest = int(sequences.context[HISTORY_TIME].min())
    latest = int(sequences.context[HISTORY_TIME].max())
    for batch in batches(next_item_examples(sequences, features(150)))[:5]:
        user, place = (batch["target"] - 2) // 20, (batch["target"] - 2) % 20
        time = 1000 - user + 5 * place
        np.testing.assert_allclose(batch["example_age"], (latest - time) / (latest - oldest), atol=1e-6)


def test_users_longer_than_a_shard(tmp_path: Path) -> None:
    lengths = np.array([1, 40, 0, 2, 1, 1, 90, 1])
    rows = Ragged.from_lengths(np.arange(lengths.sum(), dtype=np.int32), lengths)
    examples = next_item_examples(rows, features(20))
    assert len(examples) == 39 + 1 + 89
    seen = np.concatenate([batch["target"] for batch in batches(examples, 1)])
    firsts = {0, 1, 41, 43, 44, 45, 135}
    assert sorted(seen.tolist()) == [item + 2 for item in range(136) if item not in firsts]


def test_nobody_with_a_past() -> None:
    rows = Ragged.from_lengths(np.arange(100, dtype=np.int32), np.ones(100, int))
    with pytest.raises(InputError, match="at least two training interactions"):
        next_item_examples(rows, features(10))


@pytest.mark.parametrize(("low", "high"), [(0, 3), (4, 9), (9, 30), (10, 10), (30, 40)])
def test_stretches_of_the_disk_are_those_of_memory(low: int, high: int, tmp_path: Path) -> None:
    array = np.arange(10, dtype=np.int16) ** 2
    np.save(tmp_path / "array.npy", array)
    on_disk = np.load(tmp_path / "array.npy", mmap_mode="r")
    for each in (array, on_disk):
        found = stretch(each, low, high)
        assert type(found) is np.ndarray and found.dtype == np.int16
        assert found.tolist() == array[low:high].tolist()
