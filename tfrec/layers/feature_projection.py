"""Features of different kinds, summed into one vector."""

from collections.abc import Mapping

import keras
import tensorflow as tf

from tfrec.features.columns import Column
from tfrec.features.vocabulary import NUM_SPECIAL


class FeatureProjection(keras.layers.Layer):
    """Each attribute's embedding or linear projection, summed: [rows, output_size].

    A sum of projections is what a dense layer over their concatenation computes, without the concatenation.

    Args:
        columns: The attributes.
        output_size: Dimensions of the result.

    Call arguments:
        features: Name -> encoded column, as `Column.kind` describes them.
    """

    def __init__(self, columns: tuple[Column, ...], output_size: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.columns = tuple(columns)
        self.output_size = output_size
        self.projections = [self._projection(column) for column in self.columns]

    def _projection(self, column: Column) -> keras.layers.Layer:
        if column.kind == "categorical":
            return keras.layers.Embedding(len(column.vocabulary) + NUM_SPECIAL, self.output_size)
        projection = keras.layers.Dense(self.output_size, use_bias=False)
        projection.build((None, 2 if column.kind == "numeric" else column.size))
        return projection

    def build(self, input_shape: object = None) -> None:
        for projection in self.projections:
            if not projection.built:
                projection.build(None)
        self.built = True

    def call(self, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
        return sum(
            projection(features[column.name]) for column, projection in zip(self.columns, self.projections, strict=True)
        )
