import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tfrec.datasets.ordering import by_group_and_time

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
