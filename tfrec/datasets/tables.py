"""The user's own tables: files → checked columns → `Dataset`."""

import difflib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tfrec import console
from tfrec.config import DataConfig, TableConfig
from tfrec.datasets.assemble import assemble
from tfrec.datasets.checks import RowChecks
from tfrec.datasets.columns import (
    are_dates,
    to_categories,
    to_days,
    to_ids,
    to_numbers,
    to_text,
    to_timestamps,
    to_vectors,
)
from tfrec.datasets.csv_reader import DELIMITERS
from tfrec.datasets.dataset import Dataset, Roles
from tfrec.datasets.interaction_log import InteractionLog
from tfrec.datasets.readers import Reader, Rows, looks_like_utf8, read_rows
from tfrec.datasets.shards import open_table
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

_DATE = re.compile("[0-9][./-][0-9]")

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
    _require_title(config, item_roles)
    tables = [table for table in (interactions, items, users) if table]
    dataset = assemble(
        config.interactions.title,
        interactions.columns,
        items.columns.to_pandas() if items else None,
        users.columns.to_pandas() if users else None,
        item_roles=item_roles,
        user_roles=users.roles if users else Roles(),
        context_roles=interactions.roles,
        outcomes=config.interactions.outcomes,
        unknown_items=config.unknown_items,
        title=config.title or next(iter(item_roles.text), None),
        left_out_items=items.left_out_ids if items else (),
        notes=tuple(note for table in tables for note in table.notes),
        has_times=config.interactions.columns.get("timestamp") != ROW_ORDER,
    )
    left = {"interactions": (interactions, len(dataset.interactions))}
    left |= {"items": (items, items.columns.num_rows)} if items else {}
    left |= {"users": (users, users.columns.num_rows)} if users else {}
    return replace(dataset, notes=dataset.notes + _warn_of_losses(left))


def _require_title(config: DataConfig, item_roles: Roles) -> None:
    if config.title is not None and config.title not in item_roles.text:
        raise InputError(
            f"Expected data.title to be one of the items' text columns {list(item_roles.text)}. "
            f"Received: {config.title!r}. Add it with --text {config.title}."
        )


def load_items(config: DataConfig) -> tuple[pd.DataFrame, Roles, tuple[str, ...]]:
    """The items table alone, read as `config` describes it; its roles; and what to tell people of it.

    Raises:
        InputError: There is none, or the file, a column or a row is not as it should be.
    """
    if config.source != "tables" or config.items is None:
        raise InputError(
            f"Expected a run of your own tables, with an items table. Received: data.source {config.source!r}"
            f"{'' if config.source != 'tables' else ', and no items table'}."
        )
    table = _read("items", config.items, config.bad_rows)
    return table.columns.to_pandas(), table.roles, table.notes


def load_tables_by_parts(config: DataConfig, rows_at_once: int, folder: Path) -> Dataset:
    """The same of interactions in many files that are too much for the memory, as a recommender learns from them:
    `data.label_threshold` and `data.events` are applied, and other columns are not read. Files are read one after the
    other; what they say lies on the disk, by user and in order.

    Notes are of single files, or of as many together as are read at once.

    Args:
        config: The tables.
        rows_at_once: So many interactions are held in memory, or those of one file.
        folder: An empty one, for `Dataset.log`.

    Raises:
        InputError: A file, a column or a row is not as it should be.
    """
    assert config.interactions is not None
    items = _read("items", config.items, config.bad_rows) if config.items else None
    users = _read("users", config.users, config.bad_rows) if config.users else None
    _require_title(config, items.roles if items else Roles())
    log = InteractionLog(folder, config)
    if items:
        log.item_ids = items.columns["item_id"].to_pandas().astype("str")
    if users:
        log.user_ids = users.columns["user_id"].to_pandas().astype("str")
    left_out = items.left_out_ids if items else frozenset()
    waiting, total, kept, notes = list[pa.Table](), 0, 0, list[str]()
    files = config.interactions.files
    with console.progress("reading files", len(files)) as advance:
        for number, file in enumerate(files):
            of_file = config.interactions.model_copy(update={"path": file})
            table = _read("interactions", of_file, config.bad_rows, total)
            notes += table.notes
            total, kept = total + table.total, kept + table.columns.num_rows
            if waiting and table.total and set(table.columns.column_names) != set(waiting[0].column_names):
                raise InputError(
                    f"Expected the columns {waiting[0].column_names} in {file}, as in {files[0].name}. "
                    f"Received: {table.columns.column_names}. The files of a table have the same columns."
                )
            waiting += [table.columns] if table.columns.num_rows else []
            if waiting and (sum(each.num_rows for each in waiting) >= rows_at_once or number == len(files) - 1):
                log.add(pa.concat_tables(waiting, promote_options="permissive").unify_dictionaries(), left_out)
                waiting = [waiting[0].slice(0, 0)]
            advance(1)
    if kept * 2 < total:
        notes.append(f"More than half of the interactions are left out: {total - kept:,} of {total:,} rows.")
    return log.dataset(
        items.columns.to_pandas() if items else None,
        users.columns.to_pandas() if users else None,
        item_roles=items.roles if items else Roles(),
        user_roles=users.roles if users else Roles(),
        notes=tuple(notes) + (items.notes if items else ()) + (users.notes if users else ()),
        has_times=config.interactions.columns.get("timestamp") != ROW_ORDER,
    )


@dataclass(frozen=True)
class _Table:
    columns: pa.Table
    roles: Roles
    notes: tuple[str, ...]
    total: int
    """The rows of the file, with those that are left out."""
    left_out_ids: frozenset[str]
    """Ids of the rows that are left out, of items and users."""


def _warn_of_losses(left: "dict[str, tuple[_Table, int]]") -> tuple[str, ...]:
    """Warns where more than half of the rows of a table's file are not among the rows that are left."""
    return tuple(
        f"More than half of the {name} are left out: {table.total - rows:,} of {table.total:,} rows. "
        "Look at the notes above before you trust what is learned from the others."
        for name, (table, rows) in left.items()
        if 2 * rows < table.total
    )


def _read(
    name: TableName,
    config: TableConfig,
    bad_rows: Literal["error", "drop"],
    rows_before: int | None = None,
) -> _Table:
    """Reads and checks a table; or a file of interactions that is a part of one, if so many `rows_before` it are
    given: it may be empty, and what recommenders do not learn from is not read."""
    is_part = rows_before is not None
    reader = open_table(config)
    suspicion = ""
    if looks_like_utf8(config):
        suspicion = (
            f"{config.path.name} looks like UTF-8 but is read as {config.encoding}. If its text comes out garbled, "
            f"leave --encoding out, or pass --set data.{name}.encoding=utf-8 for this table alone."
        )
    named = _named_columns(name, config, reader, suspicion)
    roles = Roles(config.text, config.categorical, config.numeric, config.vector, config.separators)
    _require_declared(name, config, reader, roles, named, suspicion)
    outcomes = config.outcomes
    if is_part:
        roles, outcomes = Roles(), ()
    notes: tuple[str, ...] = (suspicion,) if suspicion else ()
    if roles.columns or name == "interactions":
        rows = _rows(reader, config, [*named.values(), *roles.columns, *outcomes], named, is_part)
    else:
        rows = _rows(reader, config, reader.columns, named)
        roles = _guess_roles(name, rows.table.drop_columns(list(set(named.values()))), config.decimal)
        if roles.columns:
            notes += (_explain_guess(config, roles),)
    checks = RowChecks(config.path.name, rows.numbers)
    checks.reject_broken(rows.broken, len(reader.columns))
    for column, bad in rows.undecodable.items():
        if column in named.values():
            checks.reject(bad, f"column '{column}', expected text in UTF-8", rows.table[column])
    convert = _Conversion(name, config, checks, rows_before or 0)
    columns = {role: convert.role(role, column, rows.table) for role, column in named.items()}
    for column in outcomes:
        columns[column] = convert.outcome(column, rows.table[column])
    for column in roles.columns:
        columns[column] = convert.attribute(column, rows.table[column], roles, rows.undecodable.get(column))
    left_out = frozenset[str]()
    if name == "interactions":
        if "event" in columns:
            columns["event"] = columns["event"].dictionary_encode()
    else:
        (key,) = named
        repeated = _repeated(columns[key], checks.good)
        checks.reject(repeated, f"column '{named[key]}', expected each id once", columns[key])
        columns[key] = columns[key].cast(pa.string())
        place = reader.columns.index(named[key])
        left_out = frozenset(columns[key].filter(pa.array(~checks.good)).drop_null().to_pylist())
        left_out |= {values[place] for values in rows.broken_values if len(values) > place}
    notes = checks.settle(bad_rows) + notes
    table = pa.table(columns)
    table = table if checks.good.all() else table.filter(pa.array(checks.good))
    return _Table(table, roles, notes, checks.total, left_out)


def _rows(
    reader: Reader, config: TableConfig, columns: list[str], named: dict[str, str], may_be_empty: bool = False
) -> Rows:
    wanted = [column for column in dict.fromkeys(columns) if column != ROW_ORDER]
    ids = [column for role, column in named.items() if role in ("user_id", "item_id", "event")]
    # What is a time and something else too is read as it is written.
    times = [column for role, column in named.items() if role == "timestamp" and columns.count(column) == 1]
    return read_rows(reader, config, wanted, ids, [column for column in times if column != ROW_ORDER], may_be_empty)


def _named_columns(name: TableName, config: TableConfig, reader: Reader, suspicion: str) -> dict[str, str]:
    """Role -> column, of the roles that this table has. `suspicion`: why they may not be found."""
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
        _require_delimiter(name, config, reader)
        prefix = "" if name == "interactions" else f"{name}."
        expected = " and ".join(repr(config.columns.get(role, role)) for role in missing)
        near = {role: _near(config.columns[role], reader.columns) for role in missing if role in config.columns}
        columns = {role: near.get(role) or _likely(role, reader.columns) or "COLUMN" for role in missing}
        options = " ".join(f"--column {prefix}{role}={column}" for role, column in columns.items())
        remedy = f"Map {'it' if len(missing) == 1 else 'them'} with {options}."
        if all(near.get(role) for role in missing):
            remedy = f"Did you mean {options}?"
        if "timestamp" in missing:
            remedy += f" Use --column timestamp={ROW_ORDER} if the rows are in order."
        raise InputError(
            f"Expected column{'s' * (len(missing) > 1)} {expected} in {config.path.name}. Received: {reader.columns}. "
            + (suspicion or remedy)
        )
    return named


def _require_delimiter(name: TableName, config: TableConfig, reader: Reader) -> None:
    """An only column whose name holds another delimiter than the declared one was not divided."""
    (column, *others), declared = reader.columns or [""], config.delimiter
    found = max(DELIMITERS, key=column.count)
    if others or not declared or found not in column:
        return
    raise InputError(
        f"Expected columns divided by {declared!r} in {config.path.name}, as --delimiter says. Received: one column, "
        f"{column!r}. Leave --delimiter out; it can be set for one table alone, as in "
        f"--set 'data.{name}.delimiter={json.dumps(found)}'."
    )


def _near(column: str, columns: list[str]) -> str | None:
    """The column that a mistyped one stands for, if any looks like it."""
    folded = {each.casefold(): each for each in columns}
    return next((folded[each] for each in difflib.get_close_matches(column.casefold(), folded, n=1)), None)


def _likely(role: str, columns: list[str]) -> str | None:
    words = _ALSO_CALLED.get(role, ())
    likely = [column for column in columns if any(word in column.lower() for word in words)]
    return next(iter(likely or difflib.get_close_matches(role, columns, n=1)), None)


def _require_declared(
    name: TableName, config: TableConfig, reader: Reader, roles: Roles, named: dict[str, str], suspicion: str
) -> None:
    if name == "interactions" and roles.text:
        raise InputError(
            f"Expected no text columns in data.interactions. Received: {list(roles.text)}. Declare them as "
            "categorical, or put what an item says into the items table."
        )
    if name != "interactions" and config.outcomes:
        raise InputError(f"Expected outcomes in data.interactions alone. Received: {list(config.outcomes)} in {name}.")
    declared = {kind: getattr(roles, kind) for kind in ("text", "categorical", "numeric", "vector")}
    for kind, columns in {**declared, "outcome": config.outcomes}.items():
        for column in columns:
            if column in named or (kind == "outcome" and column in named.values()):
                raise InputError(
                    f"Expected --{kind} to name other columns than {list(named)}, which {name} reads already. "
                    f"Received: {column!r}."
                )
            if column not in reader.columns:
                near = _near(column, reader.columns)
                hint = suspicion or (f"Did you mean '{near}'?" if near else f"Correct --{kind}.")
                raise InputError(
                    f"Expected column '{column}' in {config.path.name}, as --{kind} says. "
                    f"Received: {reader.columns}. {hint}"
                )
    all_columns = roles.columns + config.outcomes
    repeated = {column for column in all_columns if all_columns.count(column) > 1}
    if repeated:
        raise InputError(
            f"Expected one of --text, --categorical, --numeric, --vector and --outcome for each column of {name}. "
            f"Received {sorted(repeated)} more than once."
        )


def _guess_roles(name: TableName, table: pa.Table, decimal: str) -> Roles:
    """Numbers are numeric, lists of numbers vectors, anything else text in items and categories in users."""
    guesses: dict[str, list[str]] = {"text": [], "categorical": [], "numeric": [], "vector": []}
    for column, values in zip(table.column_names, table.columns, strict=True):
        if values.null_count == len(values):
            continue
        if not to_numbers(values, decimal)[1].any():
            guesses["categorical" if pa.types.is_boolean(values.type) else "numeric"].append(column)
        elif pa.types.is_nested(values.type) and not to_vectors(values)[1].any():
            guesses["vector"].append(column)
        elif not to_text(values)[1].any():
            guesses["text" if name == "items" else "categorical"].append(column)
    text, categorical, numeric, vector = (tuple(columns) for columns in guesses.values())
    return Roles(text, categorical, numeric, vector)


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


@dataclass(frozen=True)
class _Conversion:
    """Columns as they are meant; what is wrong with them goes to `checks`."""

    table: TableName
    config: TableConfig
    checks: RowChecks
    rows_before: int

    def role(self, role: str, column: str, rows: pa.Table) -> pa.Array:
        if column == ROW_ORDER:
            return pa.array(np.arange(self.rows_before, self.rows_before + rows.num_rows))
        values, remedy = rows[column], ""
        if role == "value":
            return self._number(column, values, is_used=False)
        if role in ("user_id", "item_id"):
            converted, expected = to_ids(values), "an id: text without line breaks and tabs, or a whole number"
        elif role == "timestamp":
            converted, expected = to_timestamps(values), "a number or an ISO 8601 time such as 2024-05-01T12:30:00Z"
            if converted[1].any() and _DATE.search(str(values.filter(pa.array(converted[1]))[0])):
                remedy = (
                    "Write times as ISO 8601; pandas reads others, for example with "
                    f"frame[{column!r}] = pd.to_datetime(frame[{column!r}], format='%d.%m.%Y %H:%M:%S')."
                )
        elif role == "event":
            converted, expected = to_categories(values), "text"
        else:
            low, high = self.config.label_range
            labels, bad = to_numbers(values, self.config.decimal)
            numbers = labels.to_numpy(zero_copy_only=False)
            remedy = self._decimal_remedy(values, bad)
            converted = labels, bad | ~((numbers >= low) & (numbers <= high))
            expected = f"{self._a_number} from {low:g} to {high:g} (label_range)"
        self.checks.reject(converted[1], f"column '{column}', expected {expected}", values, remedy)
        return converted[0]

    def attribute(self, column: str, values: pa.ChunkedArray, roles: Roles, undecodable: np.ndarray | None) -> pa.Array:
        if undecodable is not None:
            self.checks.blank(undecodable, column, "text in UTF-8", values)
            values = pc.if_else(pa.array(undecodable), None, values)
        if column in roles.numeric and not are_dates(values):
            return self._number(column, values)
        if column in roles.numeric:
            converted, expected = to_days(values), "a date, as those around it"
        elif column in roles.text:
            converted, expected = to_text(values), "text"
        elif column in roles.categorical:
            converted, expected = to_categories(values), "text"
        else:
            converted, expected = to_vectors(values), "as many numbers as in most rows"
        self.checks.blank(converted[1], column, expected, values)
        return converted[0]

    def outcome(self, column: str, values: pa.ChunkedArray) -> pa.Array:
        outcomes, bad = to_numbers(values)
        bad = bad | ~np.isin(outcomes.to_numpy(zero_copy_only=False), (0, 1))
        self.checks.reject(bad, f"column '{column}', expected 0 or 1", values)
        return outcomes

    def _number(self, column: str, values: pa.ChunkedArray, is_used: bool = True) -> pa.Array:
        converted, bad = to_numbers(values, self.config.decimal)
        self.checks.blank(bad, column, self._a_number, values, self._decimal_remedy(values, bad), is_used)
        return converted

    @property
    def _a_number(self) -> str:
        return "a number with a decimal comma" if self.config.decimal == "," else "a number"

    def _decimal_remedy(self, values: pa.ChunkedArray, bad: np.ndarray) -> str:
        """What to say if some of the bad values would be numbers with a decimal comma."""
        if self.config.decimal == "," or not bad.any():
            return ""
        values = values.filter(pa.array(bad))
        if to_numbers(values, ",")[1].all():
            return ""
        return f"If the comma is a decimal comma, pass --set data.{self.table}.decimal=','."
