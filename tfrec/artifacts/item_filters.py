"""What of a catalogue a request allows: items of some categories, or with numbers between limits."""

import functools
import operator
import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import tensorflow as tf

from tfrec.config import ExportConfig
from tfrec.errors import InputError
from tfrec.features.columns import Column
from tfrec.features.table import fit_columns
from tfrec.features.vocabulary import NUM_SPECIAL, PADDING, Vocabulary
from tfrec.training.catalogue import Catalogue

PREFIX = "filter_"


class CategoryFilter(tf.Module):
    """Items that belong to one of the categories asked for.

    Args:
        column: A categorical column.
        codes: Of each row of the item table, as the column encodes them: int32 [num_rows] or [num_rows, num_values].

    Attributes:
        inputs: `filter_COLUMN` string [batch_size, any], padded with ""; of a row without any nothing is asked. A
            category that no item has allows no item. Of an item with more than MOST_VALUES categories the first count.
    """

    def __init__(self, column: Column, codes: np.ndarray) -> None:
        super().__init__(name="category_filter")
        self.column = column
        self.vocabulary = Vocabulary(column.vocabulary)
        of_values = codes.reshape(len(codes), -1).T  # [num_values, num_rows]
        self.codes = tf.Variable(of_values, trainable=False, name="codes")
        self.input = PREFIX + column.input_name
        self.inputs = {self.input: tf.TensorSpec([None, None], tf.string)}

    def is_asked(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """bool [batch_size]"""
        return tf.reduce_any(inputs[self.input] != "", axis=1)

    def allowed(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """bool [batch_size, num_rows], where something is asked."""
        asked = self.vocabulary(inputs[self.input])
        batch_size = tf.shape(asked)[0]
        rows = tf.tile(tf.range(batch_size)[:, tf.newaxis], [1, tf.shape(asked)[1]])
        places = tf.reshape(tf.stack([rows, asked], axis=-1), [-1, 2])
        is_wanted = tf.scatter_nd(
            places, tf.ones([tf.shape(places)[0]], tf.int32), [batch_size, self.column.num_categories]
        )
        is_wanted = (is_wanted > 0) & (tf.range(self.column.num_categories) >= NUM_SPECIAL)
        # By items first: a gather of short rows costs less than a pass a request. And one category of a value after
        # the other: memory stays that of the answer.
        by_category, codes = tf.transpose(is_wanted), self.codes.value()
        is_allowed = tf.foldl(
            lambda is_allowed, others: is_allowed | tf.gather(by_category, others),
            codes[1:],
            tf.gather(by_category, codes[0]),
            parallel_iterations=1,
        )
        return tf.transpose(is_allowed)

    def missing(self) -> dict[str, np.ndarray]:
        """What says that nothing is asked, a row of each input."""
        return {self.input: np.array([[""]], object)}

    def example(self) -> dict[str, np.ndarray]:
        """What asks for the most frequent category, a row of each input."""
        return {self.input: np.array([self.column.vocabulary[:1] or [""]], object)}


class RangeFilter(tf.Module):
    """Items with a number between two limits, both included.

    Args:
        column: A numeric column.
        values: Of each row of the item table, NaN where it is missing: float32 [num_rows].

    Attributes:
        inputs: `filter_COLUMN_min` and `filter_COLUMN_max` float32 [batch_size]; NaN is no limit. Without any, items
            without a number are allowed too.
    """

    def __init__(self, column: Column, values: np.ndarray) -> None:
        super().__init__(name="range_filter")
        self.values = tf.Variable(values, trainable=False, name="values")
        self.low, self.high = (f"{PREFIX}{column.input_name}_{end}" for end in ("min", "max"))
        self.inputs = {name: tf.TensorSpec([None], tf.float32) for name in (self.low, self.high)}
        self.middle = np.nanmedian(values) if np.isfinite(values).any() else np.nan

    def is_asked(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """bool [batch_size]"""
        return ~(tf.math.is_nan(inputs[self.low]) & tf.math.is_nan(inputs[self.high]))

    def allowed(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """bool [batch_size, num_rows], where something is asked."""
        low, high = inputs[self.low][:, tf.newaxis], inputs[self.high][:, tf.newaxis]
        low, high = tf.where(tf.math.is_nan(low), -np.inf, low), tf.where(tf.math.is_nan(high), np.inf, high)
        values = self.values.value()
        return (values >= low) & (values <= high)  # What is missing is NaN, and neither.

    def missing(self) -> dict[str, np.ndarray]:
        """What says that nothing is asked, a row of each input."""
        return dict.fromkeys((self.low, self.high), np.array([np.nan], np.float32))

    def example(self) -> dict[str, np.ndarray]:
        """What asks for the upper half, a row of each input."""
        return {**self.missing(), self.low: np.array([self.middle], np.float32)}


class ItemFilters(tf.Module):
    """Some filters, all of which an item must pass.

    Args:
        columns: What they filter by.
        table: The items' values, of the rows from NUM_SPECIAL on, in order.

    Raises:
        InputError: Two inputs would have one name.
    """

    def __init__(self, columns: Sequence[Column], table: pd.DataFrame) -> None:
        super().__init__(name="item_filters")
        self.filters: list[CategoryFilter | RangeFilter] = []
        for column in columns:
            if column.kind == "categorical":
                codes = category_codes(column, table)
                self.filters.append(CategoryFilter(column, codes))
            else:
                numbers = column.values(table[column.name])
                self.filters.append(RangeFilter(column, np.concatenate([[np.nan] * NUM_SPECIAL, numbers]).astype("f4")))
        names = [name for each in self.filters for name in each.inputs]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(
                "Expected --filter with columns whose inputs have names of their own: small letters, and of numbers "
                f"_min and _max behind them. Received: {twice} more than once. Rename a column."
            )

    @property
    def inputs(self) -> dict[str, tf.TensorSpec]:
        """Of all of them."""
        return {name: spec for each in self.filters for name, spec in each.inputs.items()}

    @property
    def vocabularies(self) -> list[tf.Module]:
        """What an export must track."""
        return [each.vocabulary for each in self.filters if isinstance(each, CategoryFilter)]

    def are_asked(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Whether any request of the batch asks for anything, a scalar."""
        return tf.reduce_any([tf.reduce_any(each.is_asked(inputs)) for each in self.filters])

    def allowed(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """bool [batch_size, num_rows]"""
        passed = [~each.is_asked(inputs)[:, tf.newaxis] | each.allowed(inputs) for each in self.filters]
        return functools.reduce(operator.and_, passed)

    def missing(self) -> dict[str, np.ndarray]:
        """What says that nothing is asked, a row of each input."""
        return {name: row for each in self.filters for name, row in each.missing().items()}

    def examples(self, num_rows: int) -> dict[str, np.ndarray]:
        """Requests of which the first asks for something, and the others for nothing."""
        asked = {name: row for each in self.filters for name, row in each.example().items()}
        nothing = self.missing()
        return {
            name: np.concatenate([row, np.repeat(nothing[name], num_rows - 1, axis=0)]) for name, row in asked.items()
        }


def category_codes(column: Column, table: pd.DataFrame) -> np.ndarray:
    """A categorical column of the items, encoded, with the rows of padding and unknown."""
    codes = column.encoder()(tf.constant(column.values(table[column.name]))).numpy()
    return np.pad(codes, [(NUM_SPECIAL, 0), *[(0, 0)] * (codes.ndim - 1)], constant_values=PADDING)


def item_columns(catalogue: Catalogue, config: ExportConfig) -> dict[str, Column]:
    """The encodings of what items are filtered and capped by, of all values that the catalogue has.

    Raises:
        InputError: A name is no categorical or numeric column, or can't be an input's; or what is capped has several
            categories in a value.
    """
    table, roles = catalogue
    names = tuple(dict.fromkeys([*config.filters, *config.caps]))
    known = [*roles.categorical, *roles.numeric]
    if unknown := [name for name in names if name not in known]:
        raise InputError(
            f"Expected --filter and --cap with categorical or numeric columns of the items table, which are {known}. "
            f"Received: {unknown}. Declare a column with --categorical or --numeric when you train."
        )
    if unfit := [name for name in config.filters if not re.fullmatch("[A-Za-z0-9_]+", name)]:
        raise InputError(
            "Expected --filter with columns whose names can be inputs of the exported model: letters a to z, digits "
            f"and underscores. Received: {unfit}. Rename them."
        )
    if unfit := [name for name in config.caps if name in roles.numeric or name in roles.separators]:
        raise InputError(
            f"Expected --cap with columns that hold one category in a value. Received: {unfit}. Cap another column."
        )
    return {column.name: column for column in fit_columns(table, roles, names)}


def filters_and_caps(
    catalogue: Catalogue | None, config: ExportConfig, ids: np.ndarray
) -> tuple[ItemFilters | None, dict[str, tf.Variable]]:
    """What items are filtered by, and by column the categories that caps count: int32 [NUM_SPECIAL + num_items].

    Args:
        catalogue: None, if there are neither filters nor caps.
        config: Names the columns.
        ids: Of the items that may be recommended, in the order of the model's tables.

    Raises:
        InputError: As of `item_columns`.
    """
    if catalogue is None:
        return None, {}
    columns = item_columns(catalogue, config)
    table = catalogue.table.set_index("item_id").reindex(ids)
    filters = None
    if config.filters:
        filters = ItemFilters([columns[name] for name in dict.fromkeys(config.filters)], table)
    caps = {
        name: tf.Variable(category_codes(columns[name], table), trainable=False, name=f"codes_of_{name}")
        for name in config.caps
    }
    return filters, caps
