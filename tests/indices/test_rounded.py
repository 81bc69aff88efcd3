"""Products in 8 bits, worked out by hand."""

import numpy as np
import tensorflow as tf

from tfrec.indices.rounded import RoundedProducts

CORNERS = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.5, 0.5]]


def test_a_step_is_a_part_of_what_scores_can_be() -> None:
    # A query's integers are at most 63: 63, 0, -63 and 31.75 of these, 64 being 0.5 in 127ths. 127 are 254 steps.
    products = RoundedProducts(tf.Variable(CORNERS))(tf.constant([[1.0, 0.0], [10.0, 0.0]]), has_low=True).numpy()
    np.testing.assert_array_equal(products[:3], [[253, 253], [127, 127], [1, 1]])
    np.testing.assert_allclose(products[3], 190.5, atol=0.5)


def test_low_scores_are_alike_unless_they_are_asked_for() -> None:
    generator = np.random.default_rng(0)
    vectors, queries = generator.normal(size=(2_048, 8)), generator.normal(size=(3, 8))
    scores = vectors @ queries.T
    multiply = RoundedProducts(tf.Variable(vectors, dtype=tf.float32))
    products = multiply(tf.constant(queries, tf.float32), has_low=False).numpy()
    # The 64th of each second vector, and what errs by its rounding.
    least = np.sort(scores[::2], axis=0)[-64]
    slack = 0.02 * np.abs(scores).max(axis=0)
    assert (products[scores < least - slack] <= 1).all() and (products[scores > least + slack] > 1).all()
    for place in range(3):
        high = scores[:, place] > least[place]
        assert np.corrcoef(scores[high, place], products[high, place])[0, 1] > 0.99
    assert len(np.unique(multiply(tf.constant(queries, tf.float32), has_low=True))) > 150


def test_nothing_is_asked_and_nothing_is_said() -> None:
    multiply = RoundedProducts(tf.Variable(CORNERS))
    assert multiply(tf.zeros([0, 2]), has_low=True).shape == (4, 0)
    assert len(set(multiply(tf.zeros([1, 2]), has_low=True).numpy().ravel())) == 1
    assert (RoundedProducts(tf.Variable(tf.zeros([4, 2])))(tf.ones([1, 2]), has_low=True).numpy() >= 1).all()
