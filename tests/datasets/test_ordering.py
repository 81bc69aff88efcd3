import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tfrec.datasets import ordering
from tfrec.datasets.ordering import by_group_and_time, gather, stretches

# Few times, so that some are equal; and the ends of what 64 bits hold, which do not fit beside a group.
TIMES = st.sampled_from([0, 1, 2, -1, 1_700_000_000, 2**40, 2**62, -(2**63), 2**63 - 1])


@example([(0, 0), (1, 2**62)])  # One bit more than there is beside the sign.
@given(st.lists(st.tuples(st.integers(0, 2), TIMES), max_size=12))
def test_is_a_stable_sort_by_both(rows: list[tuple[int, int]]) -> None:
    groups, times = np.array([row[0] for row in rows], np.int32), np.array([row[1] for row in rows], np.int64)
    assert by_group_and_time(groups, times).tolist() == sorted(range(len(rows)), key=lambda row: rows[row])


@pytest.mark.parametrize("kind", [np.int64, np.float64])
def test_many_equal_times_keep_their_rows(kind: type) -> None:
    generator = np.random.default_rng(0)
    groups, times = generator.integers(50, size=5000).astype(np.int32), generator.integers(4, size=5000).astype(kind)
    rows = list(zip(groups, times, strict=True))
    assert by_group_and_time(groups, times).tolist() == sorted(range(5000), key=lambda row: rows[row])


@pytest.mark.parametrize("block", [1, 5, 64, 1 << 14])
@pytest.mark.parametrize("scale", [1, 1.5, 2**33, 2**55])
def test_groups_are_sorted_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch, block: int, scale: float) -> None:
    monkeypatch.setattr(ordering, "_BLOCK", block)
    generator = np.random.default_rng(block)
    groups, times = generator.integers(40, size=300).astype(np.int32) * 3, generator.integers(-9, 9, 300) * scale
    rows = list(zip(groups, times, strict=True))
    order = by_group_and_time(groups, times)
    assert order.tolist() == sorted(range(300), key=lambda row: rows[row])
    assert order.dtype == np.int32


def test_no_rows_have_no_order() -> None:
    assert by_group_and_time(np.array([], np.int32), np.array([], np.int64)).tolist() == []


def test_stretches_are_of_whole_rows() -> None:
    offsets = np.array([0, 2, 2, 5, 12, 13, 13])
    assert list(stretches(offsets, 5)) == [(0, 3), (3, 4), (4, 6)]
    assert list(stretches(offsets, 99)) == [(0, 6)]
    assert list(stretches(np.array([0]), 5)) == []


def test_gather_is_indexing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "_GATHERED", 3)
    values = np.arange(10, 18, dtype=np.float32)
    assert gather(values, np.array([7, 0, 0, 3, 1, 2, 6], np.int32)).tolist() == [17, 10, 10, 13, 11, 12, 16]
