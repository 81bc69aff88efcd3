"""Strings to indices."""

import tensorflow as tf

from tfrec.features.vocabulary import Vocabulary


def test_indices_of_terms_unknown_and_empty_strings() -> None:
    # Padding is 0, unknown 1, the first term 2.
    vocabulary = Vocabulary(["war", "drama", "Ärger"])
    indices = vocabulary(tf.constant([["drama", "", "Drama"], ["Ärger", "war", " "]]))
    assert indices.dtype == tf.int32
    assert indices.numpy().tolist() == [[3, 0, 1], [4, 2, 1]]
    assert vocabulary.size == 5


def test_without_terms_everything_is_unknown_or_padding() -> None:
    vocabulary = Vocabulary([])
    assert vocabulary(tf.constant(["", "war"])).numpy().tolist() == [0, 1]
    assert vocabulary.size == 2


def test_inside_a_graph_with_any_shape() -> None:
    vocabulary = Vocabulary(["war"])
    lookup = tf.function(vocabulary.__call__, input_signature=[tf.TensorSpec(None, tf.string)])
    assert lookup(tf.constant("war")).numpy() == 2
    assert lookup(tf.zeros([0, 3], tf.string)).shape == (0, 3)


def test_what_is_not_listed_is_hashed_into_buckets() -> None:
    vocabulary = Vocabulary(["war", "drama"], num_buckets=3)
    indices = vocabulary(tf.constant(["war", "drama", "", *(f"genre {number}" for number in range(100))])).numpy()
    assert indices[:3].tolist() == [2, 3, 0]
    assert set(indices[3:].tolist()) == {4, 5, 6}
    assert vocabulary(tf.constant(["genre 7", "genre 8"])).numpy().tolist() == indices[[10, 11]].tolist()
