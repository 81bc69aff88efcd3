"""Products in 8 bits, worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from tfrec.indices.rounded import RoundedProducts

CORNERS = np.float32([[0, 0], [0, 0], [1, 0], [-1, 0], [0.6, 0.8], [-0.6, -0.8]])
"""Padding, unknown, and items of length 1, which have nothing in common."""


def test_a_step_is_a_part_of_what_scores_can_be() -> None:
    # A query's integers are at most 63: 63, -63, and of 0.6, which is 76 of 127, 37.7. From -63 on, 1 is half of these.
    products = RoundedProducts(tf.Variable(CORNERS))(tf.constant([[1.0, 0.0], [10.0, 0.0]]), has_low=True).numpy()
    for query in range(2):
        np.testing.assert_allclose(products[:, query], [127, 127, 253, 1, 202.4, 51.6], atol=0.5)


def test_what_items_have_in_common_costs_no_steps() -> None:
    query = tf.constant([[3.0, 1.0]])
    apart, together = (RoundedProducts(tf.Variable(CORNERS + shift))(query, has_low=True) for shift in (0.0, 50.0))
    np.testing.assert_array_equal(apart[2:], together[2:])


def test_some_rows_at_a_time_are_rounded_as_all_are(monkeypatch: pytest.MonkeyPatch) -> None:
    query = tf.constant([[3.0, 1.0]])
    expected = RoundedProducts(tf.Variable(CORNERS))(query, has_low=True)
    monkeypatch.setattr("tfrec.indices.rounded.ROWS_AT_ONCE", 3)
    np.testing.assert_array_equal(RoundedProducts(tf.Variable(CORNERS))(query, has_low=True), expected)


def test_low_scores_are_alike_unless_they_are_asked_for() -> None:
    generator = np.random.default_rng(0)
    vectors, queries = generator.normal(size=(2_050, 8)), generator.normal(size=(3, 8))
    scores = vectors @ queries.T
    multiply = RoundedProducts(tf.Variable(vectors, dtype=tf.float32))
    products = multiply(tf.constant(queries, tf.float32), has_low=False).numpy()
    # The 64th of each second vector, and what errs by its rounding.
    least = np.sort(scores[2::2], axis=0)[-64]
    slack = 0.02 * np.abs(scores).max(axis=0)
    assert (products[scores < least - slack] <= 1).all() and (products[scores > least + slack] > 1).all()
    for place in range(3):
        high = scores[:, place] > least[place]
        assert np.corrcoef(scores[high, place], products[high, place])[0, 1] > 0.99
    assert len(np.unique(multiply(tf.constant(queries, tf.float32), has_low=True))) > 150


def test_nothing_is_asked_and_nothing_is_said() -> None:
    multiply = RoundedProducts(tf.Variable(CORNERS))
    assert multiply(tf.zeros([0, 2]), has_low=True).shape == (6, 0)
    assert len(set(multiply(tf.zeros([1, 2]), has_low=True).numpy().ravel())) == 1
    assert (RoundedProducts(tf.Variable(tf.zeros([4, 2])))(tf.ones([1, 2]), has_low=True).numpy() >= 1).all()
