"""Measures beyond accuracy, worked out by hand."""

import numpy as np
import pytest
from scipy import sparse

from tfrec.evaluation.background import Background, shares
from tfrec.evaluation.beyond_accuracy import (
    beyond_accuracy,
    diversity,
    miscalibration,
    novelty,
    popularity,
    popularity_lift,
    seen,
    serendipity,
)

from .examples import ragged

# Twelve interactions with four items: with 1 added, 8, 4, 3 and 1 of 16.
COUNTS = np.array([7, 3, 2, 0])


def test_novelty_is_self_information_in_bits() -> None:
    # -log2 of 8/16, 4/16 and 1/16: 1, 2 and 4.
    assert novelty(np.array([[0, 1], [1, 3], [3, -1]]), COUNTS).tolist() == [1.5, 3, 4]


def test_seen_is_the_share_of_the_list_in_the_own_history() -> None:
    # User 1's history is not user 0's, and -1 is no item.
    lists = np.array([[0, 1], [1, 3], [3, -1], [2, 0]])
    assert seen(lists, ragged([[1, 1], [1, 2, 3], [3], []])).tolist() == [0.5, 1, 1, 0]


def test_popularity_and_its_lift_over_the_history() -> None:
    lists, histories = np.array([[0, 1], [1, 3], [0, -1]]), ragged([[2, 1], [], [3]])
    assert popularity(lists, COUNTS).tolist() == [5, 1.5, 7]
    # The history's mean is 2.5, so that 5 is twice it; without a history, or of a popularity of 0, there is no lift.
    np.testing.assert_array_equal(popularity_lift(lists, histories, COUNTS), [1, np.nan, np.nan])


def test_serendipity_is_right_and_not_obvious() -> None:
    # Of two, the obvious are 0 and 1: user 0's hit is one of them, user 1's is not, user 2 has none.
    lists, targets = np.array([[0, 3], [0, 2], [2, -1]]), ragged([[0], [2, 1], [3]])
    assert serendipity(lists, targets, COUNTS).tolist() == [0, 0.5, 0]
    # Among the candidates 1, 2 and 3 item 2 is obvious, too.
    assert serendipity(lists, targets, COUNTS, np.array([1, 2, 3])).tolist() == [0.5, 0, 0]
    # What nobody was trained on is not obvious, however few there are.
    assert serendipity(np.array([[2, 3]]), ragged([[3]]), COUNTS, np.array([3])).tolist() == [0.5]


def test_diversity_is_the_mean_distance_of_pairs() -> None:
    vectors = np.array([[2.0, 0], [0, 3], [1, 1], [0, 0]])
    # Cosines: 0 and 1: 0; 0 and 2, 1 and 2: .70711; with the vector of zeros: 0.
    found = diversity(np.array([[0, 1, -1], [0, 2, 1], [0, 3, -1], [2, -1, -1]]), vectors)
    assert found == pytest.approx([1, 1 - 2 * 0.70711 / 3, 1, 0], abs=1e-5)


def test_miscalibration_is_a_smoothed_divergence() -> None:
    # Items: all of category 0, all of 1, half and half, none.
    categories = sparse.csr_array([[1.0, 0], [0, 1], [0.5, 0.5], [0, 0]])
    histories = ragged([[0, 1], [0, 0, 1, 2], [3], [0]])
    lists = np.array([[2, -1], [0, 1], [0, 1], [1, 1]])
    # User 1: p = 2.5/4 and 1.5/4, q = .5 and .5, q' = .50125 and .49875:
    # .625 log(.625 / .50125) + .375 log(.375 / .49875) = .03097. User 3: p = 1 and 0, q' = .01: log 100 = 4.60517.
    expected = [0, 0.625 * np.log(0.625 / 0.50125) + 0.375 * np.log(0.375 / 0.49875), np.nan, 4.60517]
    np.testing.assert_allclose(miscalibration(lists, histories, categories), expected, atol=1e-5)


def test_miscalibration_agrees_with_dense_sums() -> None:
    generator = np.random.default_rng(0)
    categories = shares(generator.integers(0, 9, (40, 3)), 1)
    rows = [generator.choice(40, generator.integers(1, 12)).tolist() for _ in range(30)]
    lists = np.stack([generator.permutation(40)[:4] for _ in range(30)])
    p, q = (np.stack([categories.toarray()[row].sum(axis=0) for row in each]) for each in (rows, lists.tolist()))
    p, q = (each / each.sum(axis=1, keepdims=True) for each in (p, q))
    smooth = 0.99 * q + 0.01 * p
    expected = np.where(p > 0, p * np.log(np.where(p > 0, p / np.where(smooth > 0, smooth, 1), 1)), 0).sum(axis=1)
    np.testing.assert_allclose(miscalibration(lists, ragged(rows), categories), expected, atol=1e-12)


def test_shares_of_categories() -> None:
    # Codes 0 and 1 are padding and unknown.
    assert shares(np.array([[2, 4], [3, 0], [1, 0]]), 2).toarray().tolist() == [[0.5, 0, 0.5], [0, 1, 0], [0, 0, 0]]
    assert shares(np.array([3, 2]), 2).toarray().tolist() == [[0, 1], [1, 0]]
    assert shares(np.array([1, 0]), 2).shape == (2, 0)


def test_as_many_categories_as_items_need_no_table_of_both() -> None:
    # A dense one would have 10^10 entries.
    found = shares(np.arange(100_000), 0)
    assert miscalibration(np.array([[5, 7]]), ragged([[5, 6]]), found) == pytest.approx(
        0.5 * np.log(1 / (0.99 + 0.01)) + 0.5 * np.log(1 / 0.01)
    )


def test_measures_what_the_background_allows() -> None:
    arguments = np.array([[0, 1]]), ragged([[2]]), ragged([[1]])
    least = {"novelty", "popularity", "popularity_lift", "serendipity"}
    assert beyond_accuracy(*arguments, Background(COUNTS, np.array([1]))).keys() == least
    whole = Background(COUNTS, np.array([1]), np.eye(4), sparse.eye_array(4, format="csr"))
    assert beyond_accuracy(*arguments, whole).keys() == {*least, "diversity", "miscalibration"}
