"""Attributes as tensors: what was learned from the training table, and the same encoding in training and serving."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import tensorflow as tf

from tfrec.features.vocabulary import NUM_SPECIAL, Vocabulary

NUM_BINS = 32
"""Quantiles of a number."""
MOST_VALUES = 32
"""Of a value that holds several categories, so many are read."""


@dataclass(frozen=True)
class Column:
    """One attribute, and how it is encoded.

    Attributes:
        name: The column of the table.
        kind: categorical: int32 [rows], an index of a Vocabulary; of several categories in a value [rows, num_values].
            numeric: float32 [rows, 2], standardised and 0 where missing; beside it 1 where missing. binned: a number as
            int32 [rows], the quantile that it falls into, from 1; 0 where missing. vector: float32 [rows, size], 0
            where missing.
        vocabulary: categorical: the terms, most frequent first.
        num_buckets: categorical: what other terms are hashed into; 0: they are unknown.
        separator: categorical: what stands between several categories of a value; "": it is one.
        num_values: categorical: how many of them are read, if there is a separator.
        crossed: categorical: the columns whose values it joins; none: it is a column of the table itself.
        boundaries: binned: where one quantile ends and the next begins.
        mean: numeric.
        scale: numeric: the standard deviation, or 1 where that is 0.
        size: vector: its length.
    """

    name: str
    kind: Literal["categorical", "numeric", "binned", "vector"]
    vocabulary: tuple[str, ...] = ()
    num_buckets: int = 0
    separator: str = ""
    num_values: int = 0
    crossed: tuple[str, ...] = ()
    boundaries: tuple[float, ...] = ()
    mean: float = 0.0
    scale: float = 1.0
    size: int = 0

    @classmethod
    def fit(
        cls,
        name: str,
        kind: str,
        values: pd.Series,
        minimum_count: int = 1,
        num_buckets: int = 0,
        separator: str = "",
    ) -> "Column":
        """Learns the encoding from a column of the table; rarer categories are unknown, or hashed into buckets."""
        if kind == "categorical":
            terms, num_values = values.dropna().astype(str), 0
            if separator:
                several = [[part.strip() for part in term.split(separator)] for term in terms]
                num_values = min(max(map(len, several), default=1), MOST_VALUES)
                terms = pd.Series([part for parts in several for part in parts], dtype="str")
            return cls(
                name,
                "categorical",
                vocabulary=vocabulary_of(terms[terms != ""].value_counts(), minimum_count),
                num_buckets=num_buckets,
                separator=separator,
                num_values=num_values,
            )
        if kind == "numeric":
            numbers = values.to_numpy(np.float64)
            present = numbers[np.isfinite(numbers)]
            if not len(present):
                return cls(name, "numeric")
            return cls(name, "numeric", mean=float(present.mean()), scale=float(present.std()) or 1.0)
        if kind == "binned":
            numbers = values.to_numpy(np.float32)
            present = numbers[np.isfinite(numbers)]
            # Of a number that occurs so often that it is several quantiles, one boundary is left, and that number is
            # the first above it.
            quantiles = np.linspace(0, 1, NUM_BINS + 1)[1:-1]
            boundaries = np.quantile(present, quantiles, method="higher") if len(present) else np.zeros(0)
            return cls(name, "binned", boundaries=tuple(np.unique(boundaries).tolist()))
        present = values.dropna()
        return cls(name, "vector", size=len(present.iloc[0]) if len(present) else 1)

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> "Column":
        tuples = ("vocabulary", "boundaries", "crossed")
        return cls(**{**settings, **{key: tuple(settings.get(key, ())) for key in tuples}})

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def input_name(self) -> str:
        """What a request calls it: TensorFlow writes the inputs of a signature in small letters."""
        return self.name.lower()

    @property
    def is_number(self) -> bool:
        """Whether its raw values are single numbers."""
        return self.kind in ("numeric", "binned")

    @property
    def num_categories(self) -> int:
        """categorical, binned: encoded values are below this."""
        if self.kind == "binned":
            return len(self.boundaries) + 2
        return len(self.vocabulary) + NUM_SPECIAL + self.num_buckets

    def values(self, series: pd.Series) -> np.ndarray:
        """The raw values of a table's column, in the form in which a serving request would bring them."""
        if self.kind == "categorical":
            return series.astype(object).where(series.notna(), "").astype(str).to_numpy(object)
        if self.is_number:
            return series.to_numpy(np.float32)
        empty = np.full(self.size, np.nan, np.float32)
        return np.stack([empty if value is None or np.ndim(value) == 0 else value for value in series])

    def raw_spec(self) -> tf.TensorSpec:
        """What a serving request brings: "" and NaN are missing."""
        if self.kind == "categorical":
            return tf.TensorSpec([None], tf.string, self.input_name)
        return tf.TensorSpec([None] if self.is_number else [None, self.size], tf.float32, self.input_name)

    def missing(self, num_rows: tf.Tensor | int) -> tf.Tensor:
        """Raw values that say that nothing is known: "" or NaN."""
        if self.kind == "categorical":
            return tf.fill([num_rows], "")
        return tf.fill([num_rows] if self.is_number else [num_rows, self.size], np.float32(np.nan))

    def example(self, num_rows: int) -> np.ndarray:
        """Plausible raw values, the last of them missing."""
        if self.kind == "categorical":
            frequent = self.vocabulary[0] if self.vocabulary else ""
            return np.array([*[frequent] * (num_rows - 1), ""], object)
        shape = (num_rows,) if self.is_number else (num_rows, self.size)
        values = np.full(shape, self.mean, np.float32)
        values[-1] = np.nan
        return values

    def encoder(self) -> "ColumnEncoder":
        return ColumnEncoder(self)


def vocabulary_of(counts: pd.Series, minimum_count: int = 1) -> tuple[str, ...]:
    """The categories by how often they occur, most often first, those of a count by name. `counts`: by category."""
    counts = counts[counts >= minimum_count]
    return tuple(str(term) for _, term in sorted(zip(-counts.to_numpy(), counts.index, strict=True)))


def cross(values: Sequence[tf.Tensor]) -> tf.Tensor:
    """Categories, string [rows] each, joined to one; "" where any is missing."""
    is_whole = tf.reduce_all([value != "" for value in values], axis=0)
    return tf.where(is_whole, tf.strings.join(values, separator="\x1f"), "")


class ColumnEncoder(tf.Module):
    """A column's encoding as graph operations: the one place where raw values become features."""

    def __init__(self, column: Column) -> None:
        super().__init__(name=f"{column.kind}_encoder")
        self.column = column
        is_category = column.kind == "categorical"
        self.vocabulary = Vocabulary(column.vocabulary, column.num_buckets) if is_category else None

    def __call__(self, values: tf.Tensor) -> tf.Tensor:
        """Encodes raw values ([rows] strings or numbers, [rows, size] vectors); see Column.kind for what comes out."""
        if self.vocabulary is not None and self.column.separator:
            several = tf.strings.split(values, self.column.separator)
            return self.vocabulary(tf.strings.strip(several.to_tensor("", shape=[None, self.column.num_values])))
        if self.vocabulary is not None:
            return self.vocabulary(values)
        missing = tf.math.logical_not(tf.math.is_finite(values))
        if self.column.kind == "vector":
            return tf.where(missing, 0.0, values)
        if self.column.kind == "binned":
            boundaries = tf.constant(self.column.boundaries, tf.float32)
            bins = 1 + tf.searchsorted(boundaries, tf.where(missing, 0.0, values), side="right")
            return tf.where(missing, 0, bins)
        # Not a division: the graph optimiser makes a product of it, which differs in the last bit.
        standardised = tf.where(missing, 0.0, (values - self.column.mean) * (1.0 / self.column.scale))
        return tf.stack([standardised, tf.cast(missing, tf.float32)], axis=-1)  # [rows, 2]
