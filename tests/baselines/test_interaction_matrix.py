"""The interaction matrix."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfrec.baselines import InteractionMatrix
from tfrec.datasets.ragged import Ragged

# User 0 did item 2, item 0 and item 2 again; user 1 nothing; user 2 item 2. Items 1 and 3 were never seen.
ROWS = Ragged(np.array([2, 0, 2, 2], np.int32), np.array([0, 3, 3, 4]))


def test_counts_repeats_and_does_not_change_the_rows() -> None:
    matrix = InteractionMatrix(ROWS, 4)
    assert matrix.counts.toarray().tolist() == [[1, 0, 2, 0], [0, 0, 0, 0], [0, 0, 1, 0]]
    assert matrix.binary.toarray().tolist() == [[1, 0, 1, 0], [0, 0, 0, 0], [0, 0, 1, 0]]
    assert matrix.counts.dtype == np.float32
    assert ROWS.values.tolist() == [2, 0, 2, 2]
    assert ROWS.offsets.tolist() == [0, 3, 3, 4]


def test_describes_itself() -> None:
    # 3 of 12 pairs. Counts of the items, in order: 0, 0, 1, 3: Gini (1 * 1 + 3 * 3) / (4 * 4) = 0.625.
    # The top 1 %, 10 % and 20 % of four items are one item, which has 3 of 4 interactions.
    facts = InteractionMatrix(ROWS, 4).describe()
    assert facts == {
        "users": 3,
        "items": 4,
        "interactions": 4,
        "distinct pairs": 3,
        "density": 0.25,
        "sparsity": 0.75,
        "items never seen": 2,
        "Gini of item popularity": 0.625,
        "interactions of the top 1% of items": 0.75,
        "interactions of the top 10% of items": 0.75,
        "interactions of the top 20% of items": 0.75,
        "interactions per user, least": 0,
        "interactions per user, quartile 1": 0.5,
        "interactions per user, median": 1,
        "interactions per user, quartile 3": 2,
        "interactions per user, most": 3,
        "interactions per item, least": 0,
        "interactions per item, quartile 1": 0,
        "interactions per item, median": 0.5,
        "interactions per item, quartile 3": 1.5,
        "interactions per item, most": 3,
    }


def test_prints_a_line_for_each_figure() -> None:
    lines = str(InteractionMatrix(ROWS, 4)).splitlines()
    assert len(lines) == 21
    assert lines[4].split() == ["density", "25.00%"]
    assert lines[7].split() == ["Gini", "of", "item", "popularity", "0.625"]
    assert len({len(line) for line in lines}) == 1


def test_nothing_at_all_is_described_too() -> None:
    facts = InteractionMatrix(Ragged(np.zeros(0, np.int32), np.zeros(1, np.int64)), 0).describe()
    assert facts["density"] == facts["Gini of item popularity"] == facts["interactions per user, most"] == 0


@given(st.lists(st.integers(0, 30), min_size=2, max_size=20).filter(any))
def test_gini_is_half_the_mean_difference_by_the_mean(counts: list[int]) -> None:
    items = np.repeat(np.arange(len(counts)), counts).astype(np.int32)
    matrix = InteractionMatrix(Ragged(items, np.array([0, len(items)])), len(counts))
    differences = [abs(first - second) for first in counts for second in counts]
    assert matrix.gini == pytest.approx(np.mean(differences) / (2 * np.mean(counts)))
