"""Attributes as tensors: what was learned from the training table, and the same encoding in training and serving."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import tensorflow as tf

from tfrec.features.vocabulary import Vocabulary


@dataclass(frozen=True)
class Column:
    """One attribute, and how it is encoded.

    Attributes:
        name: The column of the table.
        kind: categorical: int32 [rows], an index of a Vocabulary. numeric: float32 [rows, 2], standardised and
            0 where missing; beside it 1 where missing. vector: float32 [rows, size], 0 where missing.
        vocabulary: categorical: the terms, most frequent first.
        mean: numeric.
        scale: numeric: the standard deviation, or 1 where that is 0.
        size: vector: its length.
    """

    name: str
    kind: Literal["categorical", "numeric", "vector"]
    vocabulary: tuple[str, ...] = ()
    mean: float = 0.0
    scale: float = 1.0
    size: int = 0

    @classmethod
    def fit(cls, name: str, kind: str, values: pd.Series) -> "Column":
        """Learns the encoding from a column of the table."""
        if kind == "categorical":
            terms = values.dropna().astype(str)
            counts = terms[terms != ""].value_counts()
            order = sorted(zip(-counts.to_numpy(), counts.index, strict=True))
            return cls(name, "categorical", vocabulary=tuple(str(term) for _, term in order))
        if kind == "numeric":
            numbers = values.to_numpy(np.float64)
            present = numbers[np.isfinite(numbers)]
            if not len(present):
                return cls(name, "numeric")
            return cls(name, "numeric", mean=float(present.mean()), scale=float(present.std()) or 1.0)
        present = values.dropna()
        return cls(name, "vector", size=len(present.iloc[0]) if len(present) else 1)

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> "Column":
        return cls(**{**settings, "vocabulary": tuple(settings["vocabulary"])})

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def values(self, series: pd.Series) -> np.ndarray:
        """The raw values of a table's column, in the form in which a serving request would bring them."""
        if self.kind == "categorical":
            return series.astype(object).where(series.notna(), "").astype(str).to_numpy(object)
        if self.kind == "numeric":
            return series.to_numpy(np.float32)
        empty = np.full(self.size, np.nan, np.float32)
        return np.stack([empty if value is None or np.ndim(value) == 0 else value for value in series])

    def raw_spec(self) -> tf.TensorSpec:
        """What a serving request brings: "" and NaN are missing."""
        if self.kind == "categorical":
            return tf.TensorSpec([None], tf.string, self.name)
        return tf.TensorSpec([None] if self.kind == "numeric" else [None, self.size], tf.float32, self.name)

    def missing(self, num_rows: tf.Tensor | int) -> tf.Tensor:
        """Raw values that say that nothing is known: "" or NaN."""
        if self.kind == "categorical":
            return tf.fill([num_rows], "")
        return tf.fill([num_rows] if self.kind == "numeric" else [num_rows, self.size], np.float32(np.nan))

    def example(self, num_rows: int) -> np.ndarray:
        """Plausible raw values, the last of them missing."""
        if self.kind == "categorical":
            frequent = self.vocabulary[0] if self.vocabulary else ""
            return np.array([*[frequent] * (num_rows - 1), ""], object)
        shape = (num_rows,) if self.kind == "numeric" else (num_rows, self.size)
        values = np.full(shape, self.mean, np.float32)
        values[-1] = np.nan
        return values

    def encoder(self) -> "ColumnEncoder":
        return ColumnEncoder(self)


class ColumnEncoder(tf.Module):
    """A column's encoding as graph operations: the one place where raw values become features."""

    def __init__(self, column: Column) -> None:
        super().__init__(name=f"{column.kind}_encoder")
        self.column = column
        self.vocabulary = Vocabulary(column.vocabulary) if column.kind == "categorical" else None

    def __call__(self, values: tf.Tensor) -> tf.Tensor:
        """Encodes raw values ([rows] strings or numbers, [rows, size] vectors); see Column.kind for what comes out."""
        if self.vocabulary is not None:
            return self.vocabulary(values)
        missing = tf.math.logical_not(tf.math.is_finite(values))
        if self.column.kind == "vector":
            return tf.where(missing, 0.0, values)
        # Not a division: the graph optimiser makes a product of it, which differs in the last bit.
        standardised = tf.where(missing, 0.0, (values - self.column.mean) * (1.0 / self.column.scale))
        return tf.stack([standardised, tf.cast(missing, tf.float32)], axis=-1)  # [rows, 2]
