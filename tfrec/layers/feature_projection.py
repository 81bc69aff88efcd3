"""Features of different kinds, summed into one vector."""

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from tfrec.features.columns import Column
from tfrec.features.vocabulary import PADDING, UNKNOWN


class FeatureProjection(keras.layers.Layer):
    """Each attribute's embedding or linear projection, summed: [rows, output_size].

    A sum of projections is what a dense layer over their concatenation computes, without the concatenation. What is
    unknown adds nothing, unless training finds that its absence means something; and training hides the attributes of
    some rows, so that a request that brings none is no surprise.

    Args:
        columns: The attributes.
        output_size: Dimensions of the result.
        dropout: Share of the rows whose attributes training hides.

    Call arguments:
        features: Name -> encoded column, as `Column.kind` describes them.
    """

    def __init__(self, columns: tuple[Column, ...], output_size: int, dropout: float = 0.0, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.columns = tuple(columns)
        self.output_size = output_size
        self.dropout = dropout
        self.projections = [self._projection(column) for column in self.columns]
        # A dropout mask for a row as a whole; not scaled up, since nothing must make up for what is hidden.
        self.seed_generator = keras.random.SeedGenerator()

    def _projection(self, column: Column) -> keras.layers.Layer:
        if column.kind == "categorical":
            initializer = ZeroRows("uniform", rows=(PADDING, UNKNOWN))
            return keras.layers.Embedding(column.num_categories, self.output_size, initializer)
        # A numeric column's second input is the mark of a missing value.
        rows = (1,) if column.kind == "numeric" else ()
        initializer = ZeroRows("glorot_uniform", rows)
        return keras.layers.Dense(self.output_size, use_bias=False, kernel_initializer=initializer)

    def build(self, input_shape: object = None) -> None:
        for column, projection in zip(self.columns, self.projections, strict=True):
            projection.build((None, 2 if column.kind == "numeric" else column.size))
        self.built = True

    def call(self, features: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        outputs = sum(
            embed_categories(projection, features[column.name])
            if column.kind == "categorical"
            else projection(features[column.name])
            for column, projection in zip(self.columns, self.projections, strict=True)
        )
        if training and self.dropout:
            rows = tf.shape(outputs)[0]
            seen = keras.random.uniform([rows, 1], seed=self.seed_generator) >= self.dropout
            outputs = tf.where(seen, outputs, 0.0)
        return outputs


def embed_categories(embedding: keras.layers.Layer, codes: tf.Tensor) -> tf.Tensor:
    """The vector of a category, or the mean of those of several; of none, that of what is missing.

    Args:
        embedding: Of the categories.
        codes: int32 [rows], or [rows, num_values], padded.

    Returns:
        [rows, size]
    """
    vectors = embedding(codes)
    if codes.shape.rank == 1:
        return vectors
    is_there = tf.cast(codes != PADDING, vectors.dtype)
    # Without any, all are padding, and so is their mean.
    is_there = tf.where(tf.reduce_any(codes != PADDING, axis=1, keepdims=True), is_there, tf.ones_like(is_there))
    return tf.einsum("rv,rvs->rs", is_there / tf.reduce_sum(is_there, axis=1, keepdims=True), vectors)


class ZeroRows(keras.initializers.Initializer):
    """Another initializer's values, but zero in some rows of the matrix."""

    def __init__(self, initializer: str, rows: tuple[int, ...]) -> None:
        self.initializer = keras.initializers.get(initializer)
        self.rows = rows

    def __call__(self, shape: tuple[int, ...], dtype: object = None) -> tf.Tensor:
        """The initial values."""
        kept = np.ones((shape[0], 1))
        kept[list(self.rows)] = 0
        return self.initializer(shape, dtype) * tf.constant(kept, dtype)
