"""Attributes to one vector."""

import keras
import numpy as np
import tensorflow as tf

from tfrec.features.columns import Column
from tfrec.layers.feature_projection import FeatureProjection

COLUMNS = (
    Column("genre", "categorical", vocabulary=("war", "art")),
    Column("price", "numeric"),
    Column("image", "vector", size=3),
)


def test_sums_the_projections() -> None:
    layer = FeatureProjection(COLUMNS, output_size=2)
    layer.build()
    # Rows of the embedding: padding, unknown, war, art.
    genre = np.array([[1, 2], [10, 20], [100, 200], [1000, 2000]], np.float32)
    price = np.array([[3, 0], [0, 5]], np.float32)
    image = np.array([[1, 0], [0, 1], [7, 7]], np.float32)
    layer.set_weights([genre, price, image])
    features = {
        "image": tf.constant([[1.0, 2.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]),
        "genre": tf.constant([3, 1, 0]),
        "price": tf.constant([[2.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]),
    }
    # Row 0: [1000, 2000] + 2 [3, 0] + [1, 2]. Row 1: [10, 20] + [0, 5] + [7, 7]. Row 2: [1, 2] - [3, 0].
    assert layer(features).numpy().tolist() == [[1007, 2002], [17, 32], [-2, 2]]


def test_other_features_are_left_alone() -> None:
    layer = FeatureProjection(COLUMNS[1:2], output_size=2)
    layer.build()
    layer.set_weights([np.array([[3, 0], [0, 5]])])
    features = {"price": tf.constant([[1.0, 1.0]]), "text": tf.constant([[np.nan] * 4])}
    assert layer(features).numpy().tolist() == [[3, 5]]


def test_gradients_reach_every_projection() -> None:
    layer = FeatureProjection(COLUMNS, output_size=2)
    layer.build()
    features = {"genre": tf.constant([2]), "price": tf.constant([[1.0, 0.0]]), "image": tf.constant([[1.0, 0.0, 0.0]])}
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer(features))
    gradients = tape.gradient(total, [variable.value for variable in layer.trainable_variables])
    # Each sum is 2: one row of each matrix is used, with a 1, for both outputs.
    assert [tf.reduce_sum(tf.convert_to_tensor(gradient)).numpy() for gradient in gradients] == [2, 2, 2]


def test_what_is_missing_adds_nothing_as_long_as_training_has_not_seen_it() -> None:
    keras.utils.set_random_seed(0)
    layer = FeatureProjection(COLUMNS, output_size=4)
    layer.build()
    missing = {"genre": tf.constant([0, 1]), "price": tf.constant([[0.0, 1.0]] * 2), "image": tf.zeros([2, 3])}
    assert layer(missing).numpy().tolist() == [[0.0] * 4] * 2
    known = {"genre": tf.constant([2]), "price": tf.constant([[0.0, 0.0]]), "image": tf.zeros([1, 3])}
    assert np.abs(layer(known)).min() > 0


def test_training_hides_all_attributes_of_some_rows() -> None:
    keras.utils.set_random_seed(0)
    layer = FeatureProjection(COLUMNS, output_size=4, dropout=0.25)
    layer.build()
    rows = 2000
    features = {
        "genre": tf.fill([rows], 3),
        "price": tf.tile([[1.0, 0.0]], [rows, 1]),
        "image": tf.ones([rows, 3]),
    }
    outputs = layer(features, training=True).numpy()
    hidden = (outputs == 0).all(axis=1)
    # A binomial of 2,000 rows: 500 hidden, give or take 19.
    assert 400 < hidden.sum() < 600
    np.testing.assert_array_equal(outputs[~hidden], layer(features).numpy()[~hidden])


def test_several_categories_are_their_mean() -> None:
    layer = FeatureProjection((Column("genres", "categorical", vocabulary=("war", "art"), num_values=2),), 2)
    layer.build()
    layer.set_weights([np.array([[1, 2], [10, 20], [100, 200], [1000, 2000]], np.float32)])
    codes = tf.constant([[2, 3], [2, 0], [0, 0], [1, 3]])
    expected = [[550, 1100], [100, 200], [1, 2], [505, 1010]]
    np.testing.assert_allclose(layer({"genres": codes}), expected)
