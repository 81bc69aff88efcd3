"""A vector for each feature."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from tfrec.features.columns import Column
from tfrec.features.vocabulary import NUM_SPECIAL
from tfrec.layers.feature_projection import ZeroRows, embed_categories


class Field(NamedTuple):
    """One feature.

    Attributes:
        name: What its values go by.
        num_categories: Its values are integers below this; 0: they are vectors.
        size: Length of the vectors.
        num_special: The first so many of the integers say that it is missing or unknown: their vectors begin as zero,
            since training need not have met them.
        num_buckets: So do the last so many, which rare categories share.
        is_ordered: Whether a larger integer is more of something.
        num_values: So many integers a row; 0: one.
    """

    name: str
    num_categories: int = 0
    size: int = 0
    num_special: int = NUM_SPECIAL
    is_ordered: bool = False
    num_values: int = 0
    num_buckets: int = 0

    @property
    def zero_rows(self) -> tuple[int, ...]:
        """The categories whose vectors begin as zero."""
        return (*range(self.num_special), *range(self.num_categories - self.num_buckets, self.num_categories))

    @classmethod
    def of(cls, column: Column, prefix: str = "") -> "Field":
        """The field of an encoded column, whose numbers are binned."""
        name = prefix + column.name
        if column.kind == "vector":
            return cls(name, size=column.size)
        if column.kind == "binned":
            return cls(name, column.num_categories, num_special=1, is_ordered=True)
        return cls(name, column.num_categories, num_values=column.num_values, num_buckets=column.num_buckets)


class FieldEmbeddings(keras.layers.Layer):
    """The vector of each field's value: the row of an embedding, or a linear projection of a vector.

    Args:
        fields: What there is.
        embedding_size: Dimensions of a field's vector.

    Call arguments:
        features: Name -> int32 [rows] or [rows, num_values], or float32 [rows, size]; other names are passed over.
        num_rows: How many rows there are, should there be no field to tell.

    Returns:
        [rows, num_fields, embedding_size]; num_fields may be 0.
    """

    def __init__(self, fields: Sequence[Field], embedding_size: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.fields = tuple(fields)
        self.embedding_size = embedding_size
        self.projections = [
            keras.layers.Embedding(field.num_categories, embedding_size, ZeroRows("uniform", rows=field.zero_rows))
            if field.num_categories
            else keras.layers.Dense(embedding_size, use_bias=False)
            for field in self.fields
        ]

    def build(self, input_shape: object = None) -> None:
        for field, projection in zip(self.fields, self.projections, strict=True):
            projection.build((None, field.size))
        self.built = True

    def call(self, features: Mapping[str, tf.Tensor], num_rows: tf.Tensor) -> tf.Tensor:
        if not self.fields:
            return tf.zeros([num_rows, 0, self.embedding_size], self.compute_dtype)
        vectors = [
            embed_categories(project, features[field.name]) if field.num_categories else project(features[field.name])
            for field, project in zip(self.fields, self.projections, strict=True)
        ]
        return tf.stack(vectors, axis=1)
