"""A table of users or items as arrays that a tower gathers its inputs from."""

import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import tensorflow as tf

from tfrec.datasets.dataset import Roles
from tfrec.errors import InputError
from tfrec.features.columns import Column
from tfrec.features.vocabulary import NUM_SPECIAL, UNKNOWN


@dataclass(frozen=True)
class FeatureTable:
    """Encoded features; row = index of the id's Vocabulary, so rows 0 and 1 are padding and unknown.

    Attributes:
        ids: The ids of rows 2, 3, …, in order: object [num_ids].
        columns: The attributes, one array each.
        arrays: Name -> array of NUM_SPECIAL + num_ids rows. Beside the columns, `id` (items only): the row of the
            id embedding, UNKNOWN for an item that training never saw; and of the text (items only) either `text`,
            its vector, or `text_tokens`, its tokens, for a text encoder that is trained. `text_variants` are those of
            the text and its variants, if training varies it: [num_rows, 1 + num_variants, …].
    """

    ids: np.ndarray
    columns: tuple[Column, ...]
    arrays: Mapping[str, np.ndarray]

    @property
    def num_rows(self) -> int:
        return len(self.ids) + NUM_SPECIAL


def attribute_names(roles: Roles, chosen: tuple[str, ...] | None, table: str) -> tuple[str, ...]:
    """The attributes that a tower sees: the chosen ones, or all that are declared.

    Raises:
        InputError: A chosen one is not declared, or bears a name that the table's arrays use themselves.
    """
    declared = (*roles.categorical, *roles.numeric, *roles.vector)
    unknown = [name for name in chosen or () if name not in declared]
    if unknown:
        raise InputError(
            f"Expected features.{table}_columns from the declared columns {list(declared)} of the "
            f"{'interactions' if table == 'context' else table + 's'} table. "
            f"Received: {unknown}. Declare them with --categorical, --numeric or --vector."
        )
    names = declared if chosen is None else chosen
    if table != "item":
        require_input_names(names, table)
    taken = [name for name in names if table == "item" and name in ITEM_NAMES]
    if taken:
        raise InputError(
            f"Expected item attributes not called {', '.join(ITEM_NAMES)}, the item tower's names for id and text. "
            f"Received: {taken}. Rename the column, or leave it out with features.item_columns."
        )
    return names


ITEM_NAMES = ("id", "id_vector", "text", "text_tokens", "text_variants", "words")
RESERVED = (
    "self",
    "user_id",
    "candidate_bids",
    "floor",
    "history_item_ids",
    "history_events",
    "history_labels",
    "history_timestamps",
    "exclude_item_ids",
    "candidate_item_ids",
)


def require_input_names(names: tuple[str, ...], table: str) -> None:
    """What a request brings becomes inputs of the exported model: better refused now than after training.

    Raises:
        InputError: A name can't be an input's.
    """
    unfit = [
        name
        for name in names
        if not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name)
        or keyword.iskeyword(name)
        or name.lower() in RESERVED
        or name.lower().startswith("filter_")
    ]
    lowered = [name.lower() for name in names]
    unfit += [name for name in names if lowered.count(name.lower()) > 1]
    if unfit:
        raise InputError(
            f"Expected {table} attributes whose names can be inputs of the exported model: letters a to z, digits and "
            "underscores, a letter first, not filter_ first, no word of Python's own, no two alike but for capitals. "
            f"Received: {unfit}. Rename these columns, or choose others with features.{table}_columns."
        )


def fit_columns(
    table: pd.DataFrame,
    roles: Roles,
    names: tuple[str, ...],
    binned: bool = False,
    minimum_count: int = 1,
    num_buckets: int = 0,
) -> tuple[Column, ...]:
    """Learns the encodings of some columns of a table; with `binned` numbers become quantiles. See Column.fit."""
    kinds = {name: kind for kind in ("categorical", "numeric", "vector") for name in getattr(roles, kind)}
    if binned:
        kinds |= dict.fromkeys(roles.numeric, "binned")
    return tuple(
        Column.fit(name, kinds[name], table[name], minimum_count, num_buckets, roles.separators.get(name, ""))
        for name in names
    )


def build_attributes(
    table: pd.DataFrame, roles: Roles, names: tuple[str, ...], binned: bool = False
) -> tuple[tuple[Column, ...], dict[str, np.ndarray]]:
    """Fits and encodes attributes. The arrays begin with the rows of padding and unknown, where all is missing."""
    columns = fit_columns(table, roles, names, binned)
    return columns, encode_columns(table, columns)


def encode_columns(table: pd.DataFrame, columns: tuple[Column, ...]) -> dict[str, np.ndarray]:
    """Encodes a table's columns; the arrays begin with the rows of padding and unknown, where all is missing."""
    arrays = {}
    for column in columns:
        raw = tf.concat([column.missing(NUM_SPECIAL), tf.constant(column.values(table[column.name]))], axis=0)
        arrays[column.name] = column.encoder()(raw).numpy()
    return arrays


def id_rows(training_counts: np.ndarray) -> np.ndarray:
    """Rows of the id embedding, int32 [NUM_SPECIAL + num_items]: items without training data share the unknown id's."""
    own = np.arange(NUM_SPECIAL, NUM_SPECIAL + len(training_counts), dtype=np.int32)
    return np.concatenate([[0, UNKNOWN], np.where(training_counts > 0, own, UNKNOWN)]).astype(np.int32)
