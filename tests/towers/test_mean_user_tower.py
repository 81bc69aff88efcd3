"""The mean of a history."""

import numpy as np
import tensorflow as tf

from tfrec.towers.mean_user_tower import MeanUserTower

# Two items and a hole; then no item at all.
HISTORY = tf.constant([[[3.0, 0.0], [7.0, 7.0], [1.0, 4.0]], [[5.0, 5.0], [5.0, 5.0], [5.0, 5.0]]])
MASK = tf.constant([[True, False, True], [False, False, False]])


def tower() -> MeanUserTower:
    layer = MeanUserTower(columns=(), history_length=3, embedding_size=2)
    layer.build()
    return layer


def test_is_the_direction_of_the_mean() -> None:
    # (3, 0) and (1, 4): the mean (2, 2) has the direction (1, 1) / sqrt(2).
    vectors = tower()(HISTORY, MASK, {})
    np.testing.assert_allclose(vectors, [[2**-0.5, 2**-0.5], [0, 0]], atol=1e-6)


def test_a_place_sees_what_came_up_to_it() -> None:
    vectors = tower()(HISTORY, MASK, {}, every_place=True)
    np.testing.assert_allclose(vectors[0], [[1, 0], [1, 0], [2**-0.5, 2**-0.5]], atol=1e-6)
    np.testing.assert_array_equal(vectors[1], np.zeros((3, 2)))


def test_learns_nothing_from_the_history() -> None:
    assert tower().trainable_variables == []
