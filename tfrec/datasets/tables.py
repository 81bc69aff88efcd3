"""The user's own tables: files → checked columns → `Dataset`."""

import difflib
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from tfrec.config import DataConfig, TableConfig
from tfrec.datasets.assemble import assemble
from tfrec.datasets.checks import RowChecks
from tfrec.datasets.columns import to_categories, to_ids, to_numbers, to_text, to_timestamps, to_vectors
from tfrec.datasets.dataset import Dataset, Roles
from tfrec.datasets.readers import Reader, Rows, open_table, read_rows
from tfrec.errors import InputError

TableName = Literal["interactions", "items", "users"]

ROW_ORDER = ":row"
"""What `columns["timestamp"]` says where the order of the rows is the order in time."""

_REQUIRED: dict[TableName, tuple[str, ...]] = {
    "interactions": ("user_id", "item_id", "timestamp"),
    "items": ("item_id",),
    "users": ("user_id",),
}
_OPTIONAL: dict[TableName, tuple[str, ...]] = {"interactions": ("event", "label", "value"), "items": (), "users": ()}

_ALSO_CALLED = {
    "user_id": ("user", "customer", "member", "visitor", "session"),
    "item_id": ("item", "product", "movie", "video", "article", "sku", "asin"),
    "timestamp": ("time", "date", "when"),
}


def load_tables(config: DataConfig) -> Dataset:
    """Reads, checks and joins the tables that `config` describes.

    Raises:
        InputError: A file, a column or a row is not as it should be.
    """
    assert config.interactions is not None  # DataConfig checks it
    interactions = _read("interactions", config.interactions, config.bad_rows)
    items = _read("items", config.items, config.bad_rows) if config.items else None
    users = _read("users", config.users, config.bad_rows) if config.users else None
    item_roles = items.roles if items else Roles()
    if config.title is not None and config.title not in item_roles.text:
        raise InputError(
            f"Expected data.title to be one of the items' text columns {list(item_roles.text)}. "
            f"Received: {config.title!r}. Add it with --text {config.title}."
        )
    tables = [table for table in (interactions, items, users) if table]
    return assemble(
        config.interactions.path.name.split(".")[0],
        interactions.columns,
        items.columns.to_pandas() if items else None,
        users.columns.to_pandas() if users else None,
        item_roles=item_roles,
        user_roles=users.roles if users else Roles(),
        unknown_items=config.unknown_items,
        title=config.title or next(iter(item_roles.text), None),
        notes=tuple(note for table in tables for note in table.notes),
    )


@dataclass(frozen=True)
class _Table:
    columns: pa.Table
    roles: Roles
    notes: tuple[str, ...]


def _read(name: TableName, config: TableConfig, bad_rows: Literal["error", "drop"]) -> _Table:
    reader = open_table(config)
    named = _named_columns(name, config, reader)
    roles = Roles(config.text, config.categorical, config.numeric, config.vector)
    _require_declared(name, config, reader, roles, named)
    notes: tuple[str, ...] = ()
    if roles.columns or name == "interactions":
        rows = _rows(reader, config, [*named.values(), *roles.columns], named)
    else:
        rows = _rows(reader, config, reader.columns, named)
        roles = _guess_roles(name, rows.table.drop_columns(list(set(named.values()))))
        if roles.columns:
            notes = (_explain_guess(config, roles),)
    checks = RowChecks(config.path.name, rows.numbers)
    checks.reject_broken(rows.broken, len(reader.columns))
    for column, bad in rows.undecodable.items():
        checks.reject(bad, f"column '{column}', expected text in UTF-8", rows.table[column])
    columns = {role: _convert_role(role, column, rows.table, config, checks) for role, column in named.items()}
    for column in roles.columns:
        columns[column] = _convert_attribute(column, rows.table[column], roles, checks)
    if name == "interactions":
        if "event" in columns:
            columns["event"] = columns["event"].dictionary_encode()
    else:
        (key,) = named
        repeated = _repeated(columns[key], checks.good)
        checks.reject(repeated, f"column '{named[key]}', expected each id once", columns[key])
        columns[key] = columns[key].cast(pa.string())
    notes = checks.settle(bad_rows) + notes
    table = pa.table(columns)
    return _Table(table if checks.good.all() else table.filter(pa.array(checks.good)), roles, notes)


def _rows(reader: Reader, config: TableConfig, columns: list[str], named: dict[str, str]) -> Rows:
    wanted = [column for column in dict.fromkeys(columns) if column != ROW_ORDER]
    ids = [column for role, column in named.items() if role in ("user_id", "item_id", "event")]
    return read_rows(reader, config, wanted, ids)


def _named_columns(name: TableName, config: TableConfig, reader: Reader) -> dict[str, str]:
    """Role -> column, of the roles that this table has."""
    roles = _REQUIRED[name] + _OPTIONAL[name]
    for role in config.columns:
        if role not in roles:
            raise InputError(f"Expected --column to name one of {list(roles)} in {name}. Received: {role!r}.")
    named, missing = {}, []
    for role in roles:
        column = config.columns.get(role, role)
        if column in reader.columns or (role == "timestamp" and column == ROW_ORDER):
            named[role] = column
        elif role in _REQUIRED[name] or role in config.columns:
            missing.append(role)
    if missing:
        prefix = "" if name == "interactions" else f"{name}."
        expected = " and ".join(repr(config.columns.get(role, role)) for role in missing)
        options = [f"--column {prefix}{role}={_likely(role, reader.columns) or 'COLUMN'}" for role in missing]
        hint = f" Use --column timestamp={ROW_ORDER} if the rows are in order." if "timestamp" in missing else ""
        raise InputError(
            f"Expected column{'s' * (len(missing) > 1)} {expected} in {config.path.name}. Received: {reader.columns}. "
            f"Map {'it' if len(missing) == 1 else 'them'} with {' '.join(options)}.{hint}"
        )
    return named


def _likely(role: str, columns: list[str]) -> str | None:
    words = _ALSO_CALLED.get(role, ())
    likely = [column for column in columns if any(word in column.lower() for word in words)]
    return next(iter(likely or difflib.get_close_matches(role, columns, n=1)), None)


def _require_declared(
    name: TableName, config: TableConfig, reader: Reader, roles: Roles, named: dict[str, str]
) -> None:
    if name == "interactions" and roles.columns:
        raise InputError(
            "Expected no text, categorical, numeric or vector columns in data.interactions: its own columns are not "
            f"used yet. Received: {list(roles.columns)}. Remove them; what is known of an item or a user belongs into "
            "the items or users table."
        )
    for kind in ("text", "categorical", "numeric", "vector"):
        for column in getattr(roles, kind):
            if column in named:
                raise InputError(
                    f"Expected --{kind} to name other columns than {list(named)}, which {name} reads already. "
                    f"Received: {column!r}."
                )
            if column not in reader.columns:
                near = difflib.get_close_matches(column, reader.columns, n=1)
                hint = f"Did you mean '{near[0]}'?" if near else f"Correct --{kind}."
                raise InputError(
                    f"Expected column '{column}' in {config.path.name}, as --{kind} says. "
                    f"Received: {reader.columns}. {hint}"
                )
    repeated = {column for column in roles.columns if roles.columns.count(column) > 1}
    if repeated:
        raise InputError(
            f"Expected one of --text, --categorical, --numeric and --vector for each column of {name}. "
            f"Received {sorted(repeated)} more than once."
        )


def _guess_roles(name: TableName, table: pa.Table) -> Roles:
    """Numbers are numeric, lists of numbers vectors, anything else text in items and categories in users."""
    guesses: dict[str, list[str]] = {"text": [], "categorical": [], "numeric": [], "vector": []}
    for column, values in zip(table.column_names, table.columns, strict=True):
        if values.null_count == len(values):
            continue
        if not to_numbers(values)[1].any():
            guesses["categorical" if pa.types.is_boolean(values.type) else "numeric"].append(column)
        elif pa.types.is_nested(values.type) and not to_vectors(values)[1].any():
            guesses["vector"].append(column)
        elif not to_text(values)[1].any():
            guesses["text" if name == "items" else "categorical"].append(column)
    return Roles(**{kind: tuple(columns) for kind, columns in guesses.items()})


def _repeated(ids: pa.DictionaryArray, good: np.ndarray) -> np.ndarray:
    """The good rows whose id another good row above has, bool [num_rows]."""
    rows = np.flatnonzero(good)
    _, first = np.unique(ids.indices.to_numpy(zero_copy_only=False)[rows], return_index=True)
    repeated = good.copy()
    repeated[rows[first]] = False
    return repeated


def _explain_guess(config: TableConfig, roles: Roles) -> str:
    kinds = {"text": roles.text, "categorical": roles.categorical, "numeric": roles.numeric, "vector": roles.vector}
    guessed = "; ".join(f"{kind}: {', '.join(columns)}" for kind, columns in kinds.items() if columns)
    return (
        f"{config.path.name}: no column is declared, so they are read as {guessed}. "
        "Say otherwise with --text, --categorical, --numeric and --vector."
    )


def _convert_role(role: str, column: str, table: pa.Table, config: TableConfig, checks: RowChecks) -> pa.Array:
    if column == ROW_ORDER:
        return pa.array(np.arange(table.num_rows))
    values = table[column]
    if role in ("user_id", "item_id"):
        converted, expected = to_ids(values), "an id: text without line breaks and tabs, or a whole number"
    elif role == "timestamp":
        converted, expected = to_timestamps(values), "a number or an ISO 8601 time such as 2024-05-01T12:30:00Z"
    elif role == "event":
        converted, expected = to_categories(values), "text"
    elif role == "value":
        converted, expected = to_numbers(values), "a number"
    else:
        low, high = config.label_range
        labels, bad = to_numbers(values)
        numbers = labels.to_numpy(zero_copy_only=False)
        converted = labels, bad | ~((numbers >= low) & (numbers <= high))
        expected = f"a number from {low:g} to {high:g} (label_range)"
    checks.reject(converted[1], f"column '{column}', expected {expected}", values)
    return converted[0]


def _convert_attribute(column: str, values: pa.ChunkedArray, roles: Roles, checks: RowChecks) -> pa.Array:
    if column in roles.text:
        converted, expected = to_text(values), "text"
    elif column in roles.categorical:
        converted, expected = to_categories(values), "text"
    elif column in roles.numeric:
        converted, expected = to_numbers(values), "a number"
    else:
        converted, expected = to_vectors(values), "as many numbers as in most rows"
    checks.reject(converted[1], f"column '{column}', expected {expected}", values)
    return converted[0]
