"""Puts interactions, items and users together: ids become row numbers."""

from collections.abc import Collection
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tfrec.datasets.columns import to_dictionary
from tfrec.datasets.dataset import Dataset, Roles
from tfrec.datasets.ordering import gather
from tfrec.errors import InputError

_AT_ONCE = 1 << 20
"""So many codes are looked up at once: NumPy makes 8 bytes of each before."""


def assemble(
    name: str,
    interactions: pa.Table,
    items: pd.DataFrame | None = None,
    users: pd.DataFrame | None = None,
    *,
    item_roles: Roles = Roles(),  # noqa: B008 (frozen)
    user_roles: Roles = Roles(),  # noqa: B008
    context_roles: Roles = Roles(),  # noqa: B008
    outcomes: tuple[str, ...] = (),
    unknown_items: Literal["error", "keep", "drop"] = "drop",
    title: str | None = None,
    left_out_items: Collection[str] = (),
    notes: tuple[str, ...] = (),
    shared_clock: bool = True,
    has_times: bool = True,
) -> Dataset:
    """Makes a `Dataset` of tables whose values are valid already.

    Args:
        interactions: `user_id` and `item_id` (strings, or dictionaries of strings), `timestamp` (int64 or float64),
            and what else there is, in the order of the source.
        items: The catalogue. None: the items of the interactions, in order of appearance.
        users: None: the users of the interactions, in order of appearance. Users that it lacks are added.
        unknown_items: What to do with interactions whose item `items` lacks.
        left_out_items: Ids that `items` lacks because their rows were not valid.

    Raises:
        InputError: An item is unknown and `unknown_items` is "error", or no interaction is left.
    """
    item_codes, item_ids = _encode(interactions["item_id"])
    if items is None:
        items = pd.DataFrame({"item_id": _used(item_codes, item_ids)})
    unknown = gather(_rows_of(item_ids, items["item_id"]) < 0, item_codes)
    if unknown.any():
        ids = _used(item_codes[unknown], item_ids)
        is_left_out = item_ids.isin(left_out_items).to_numpy()[item_codes]
        reasons = {
            "that the items table lacks": unknown & ~is_left_out,
            "whose own rows in the items table were left out": unknown & is_left_out,
        }
        found = {
            f"{mask.sum():,} of {len(mask):,} interactions are with {len(used):,} items {reason}": used
            for reason, mask in reasons.items()
            if len(used := _used(item_codes[mask], item_ids))
        }
        notes += _settle_unknown(unknown_items, found, bool(unknown.all()))
        if unknown_items == "keep":
            items = pd.concat([items, blank_rows("item_id", ids, items, item_roles)], ignore_index=True)
        else:
            interactions = interactions.filter(pa.array(~unknown))
            item_codes = item_codes[~unknown]

    user_codes, user_ids = _encode(interactions["user_id"])
    seen_users = _used(user_codes, user_ids)
    if users is None:
        users = pd.DataFrame({"user_id": seen_users})
    missing = seen_users[~seen_users.isin(users["user_id"])]
    if len(missing):
        users = pd.concat([users, blank_rows("user_id", missing, users, user_roles)], ignore_index=True)
        notes += (f"{len(missing):,} users of the interactions are not in the users table: added without attributes.",)

    frame = {
        "user_id": _categorical(user_codes, user_ids, users["user_id"]),
        "item_id": _categorical(item_codes, item_ids, items["item_id"]),
    }
    others = interactions.drop_columns(["user_id", "item_id"])
    frame |= {name: column.to_pandas() for name, column in zip(others.column_names, others.columns, strict=True)}
    return Dataset(
        name=name,
        interactions=pd.DataFrame(frame, copy=False),
        items=items,
        users=users,
        item_roles=item_roles,
        user_roles=user_roles,
        context_roles=context_roles,
        outcomes=outcomes,
        title=title,
        notes=notes,
        shared_clock=shared_clock,
        has_times=has_times,
    )


def _encode(column: pa.ChunkedArray) -> tuple[np.ndarray, pd.Series]:
    """The column as codes (int32) into its distinct ids, which are in order of appearance."""
    array = to_dictionary(column)
    return array.indices.to_numpy(zero_copy_only=False).astype(
        np.int32, copy=False
    ), array.dictionary.to_pandas().astype("str")


def _used(codes: np.ndarray, ids: pd.Series) -> pd.Series:
    """The ids that occur, in order of appearance."""
    is_used = np.zeros(len(ids), bool)
    for low in range(0, len(codes), _AT_ONCE):
        is_used[codes[low : low + _AT_ONCE]] = True
    return ids[is_used].reset_index(drop=True)


def _categorical(codes: np.ndarray, ids: pd.Series, known: pd.Series) -> pd.Categorical:
    rows = _rows_of(ids, known)
    if not np.array_equal(rows, np.arange(len(rows))):
        codes = gather(rows, codes)
    return pd.Categorical.from_codes(codes, pd.Index(known))


def _rows_of(ids: pd.Series, known: pd.Series) -> np.ndarray:
    """The row of each id in a table's ids, int32; -1 where it has none."""
    return pc.index_in(pa.array(ids, pa.string()), pa.array(known, pa.string())).fill_null(-1).to_numpy()


def _settle_unknown(policy: str, found: dict[str, pd.Series], is_all: bool) -> tuple[str, ...]:
    """The notes on unknown items: `found` is what to say of them -> which they are."""
    said = [f"{subject} (such as {', '.join(repr(id) for id in ids[:3])})" for subject, ids in found.items()]
    if policy == "keep":
        return tuple(f"{each}: kept, without attributes." for each in said)
    if policy == "error" or is_all:
        raise InputError(
            f"Expected every item of the interactions in the items table. Received: {'; '.join(said)}. "
            "Check that both tables spell ids alike; then add the items, or pass "
            + ("--unknown-items keep." if is_all else "--unknown-items drop or --unknown-items keep.")
        )
    return tuple(f"{each}: left out." for each in said)


def blank_rows(key: str, ids: pd.Series, table: pd.DataFrame, roles: Roles) -> pd.DataFrame:
    """Rows of ids without attributes, to follow those of a table."""
    columns: dict[str, pd.Series] = {key: ids.reset_index(drop=True)}
    for column in roles.columns:
        if column in roles.text:
            columns[column] = pd.Series([""] * len(ids), dtype="str")
        elif column in roles.vector:
            columns[column] = pd.Series([np.zeros_like(table[column].iloc[0])] * len(ids), dtype=object)
        else:
            columns[column] = pd.Series([None] * len(ids), dtype=table[column].dtype)
    return pd.DataFrame(columns)
