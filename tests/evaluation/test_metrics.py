"""Metrics, against arithmetic done by hand and their formulas in plain Python."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfrec.evaluation.metrics import coverage, hit_rate, mrr, ndcg, recall

from .examples import ragged

# Three cases: targets at ranks 1 and 4; one target at 3; three targets, none of the first three places.
RANKS = ragged([[4, 1], [3], [5, 9, 7]])


def test_recall() -> None:
    # At 3: 1 of 2, 1 of 1, 0 of 3. At 7: 2 of 2, 1 of 1, 2 of 3.
    assert recall(RANKS, 3).tolist() == [0.5, 1, 0]
    assert recall(RANKS, 7).tolist() == pytest.approx([1, 1, 2 / 3])


def test_recall_is_not_cut_at_k() -> None:
    # Only one of two targets fits into the first place.
    assert recall(ragged([[1, 2]]), 1).tolist() == [0.5]


def test_hit_rate() -> None:
    assert hit_rate(RANKS, 2).tolist() == [1, 0, 0]
    assert hit_rate(RANKS, 5).tolist() == [1, 1, 1]


def test_ndcg() -> None:
    # log2(2) = 1, log2(3) = 1.58496, log2(4) = 2. At 3:
    # case 0: DCG 1/log2(2) = 1; ideal, two targets: 1 + 1/1.58496 = 1.63093; 1 / 1.63093 = 0.61315.
    # case 1: DCG 1/log2(4) = 0.5; ideal, one target: 1.
    # case 2: nothing in the first three.
    assert ndcg(RANKS, 3).tolist() == pytest.approx([0.61315, 0.5, 0], abs=1e-5)


def test_ndcg_is_one_where_the_first_k_are_all_targets() -> None:
    # The ideal has min(k, R) = 2 targets, though there are three.
    assert ndcg(ragged([[2, 8, 1]]), 2).tolist() == pytest.approx([1])


def test_mrr() -> None:
    assert mrr(RANKS, 4).tolist() == pytest.approx([1, 1 / 3, 0])
    assert mrr(RANKS, 5).tolist() == pytest.approx([1, 1 / 3, 1 / 5])


def test_coverage() -> None:
    recommended = np.array([[0, 1, 2], [0, 3, -1]])
    # At 1: item 0 of ten. At 3: items 0 to 3; -1 is none.
    assert coverage(recommended, 10, 1) == pytest.approx(0.1)
    assert coverage(recommended, 10, 3) == pytest.approx(0.4)


@given(
    st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=6), min_size=1, max_size=8),
    st.integers(1, 25),
)
def test_agree_with_their_formulas(rows: list[list[int]], k: int) -> None:
    ranks = ragged(rows)
    hits = [[rank for rank in row if rank <= k] for row in rows]
    ideals = [sum(1 / math.log2(1 + place) for place in range(1, min(k, len(row)) + 1)) for row in rows]
    assert recall(ranks, k).tolist() == pytest.approx(
        [len(hit) / len(row) for hit, row in zip(hits, rows, strict=True)]
    )
    assert hit_rate(ranks, k).tolist() == [bool(hit) for hit in hits]
    assert mrr(ranks, k).tolist() == pytest.approx([1 / min(hit) if hit else 0 for hit in hits])
    gains = [sum(1 / math.log2(1 + rank) for rank in hit) for hit in hits]
    assert ndcg(ranks, k).tolist() == pytest.approx([gain / ideal for gain, ideal in zip(gains, ideals, strict=True)])
