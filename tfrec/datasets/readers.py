"""Opens CSV, Parquet and JSON lines files as Arrow tables. What the values mean is for others to say."""

import codecs
import json
import re
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.json
import pyarrow.parquet

from tfrec.config import TableConfig
from tfrec.datasets.csv_reader import CsvReader
from tfrec.datasets.rows import Rows
from tfrec.datasets.text_files import BLOCK, beginning, is_single_byte, open_bytes
from tfrec.errors import InputError


class Reader(Protocol):
    """An opened file."""

    columns: list[str]
    """The names of its columns, in order."""

    def read(self, columns: Collection[str], categories: Collection[str], times: Collection[str]) -> Rows:
        """Reads these columns; those that are `categories` come as dictionaries where that saves memory, and `times` as
        numbers or moments if all of a column are that."""


def open_file(config: TableConfig) -> Reader:
    """Opens the file of a table; its suffix says what it is.

    Raises:
        InputError: There is no such file, its suffix is unknown, it is empty, broken, or not in the declared encoding.
    """
    path = config.path
    if path.is_dir():
        raise InputError(f"Expected a file, or files in a folder, at {path}. Received: an empty folder.")
    if not path.is_file():
        elsewhere = f" The working directory is {Path.cwd()}, and the data root has none either."
        raise InputError(
            f"Expected a file at {path.absolute()}. Received: nothing there.{'' if path.is_absolute() else elsewhere}"
        )
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix not in _READERS or (suffix == ".parquet" and path.suffix == ".gz"):
        raise InputError(
            f"Expected a file that ends in one of {', '.join(_READERS)} (or in .gz after a text format). "
            f"Received: {path}. Convert or rename it."
        )
    if not path.stat().st_size:
        raise InputError(f"Expected rows in {path.name}. Received: an empty file.")
    try:
        codecs.lookup(config.encoding)
    except LookupError:
        raise InputError(
            f"Expected an encoding that Python knows, such as utf-8 or latin-1. Received: --encoding {config.encoding}."
        ) from None
    with explaining(config):
        reader = _READERS[suffix](config)
    repeated = {name for name in reader.columns if reader.columns.count(name) > 1}
    if repeated:
        raise InputError(f"Expected distinct column names in {path.name}. Received {sorted(repeated)} more than once.")
    return reader


def looks_like_utf8(config: TableConfig) -> bool:
    """Whether the text of an opened table is UTF-8 beyond ASCII, but declared to be in an encoding of one byte a
    character, in which any bytes are text."""
    files = [file for file in config.files if file.suffix != ".parquet"]
    return is_single_byte(config.encoding) and any(_is_utf8_beyond_ascii(config, file) for file in files)


def _is_utf8_beyond_ascii(config: TableConfig, path: Path) -> bool:
    with explaining(config):
        start = beginning(path)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)  # its last character may be cut
    except UnicodeDecodeError:
        return False
    return not start.isascii()


def read_rows(
    reader: Reader,
    config: TableConfig,
    columns: Collection[str],
    categories: Collection[str] = (),
    times: Collection[str] = (),
    may_be_empty: bool = False,
) -> Rows:
    """Reads columns of an opened file.

    Args:
        reader: The opened file.
        config: Its table.
        columns: Names of what is read.
        categories: Of these, those with the same values again and again.
        times: Of these, those that are likely whole numbers or moments.
        may_be_empty: Whether a file without rows is one of many.

    Raises:
        InputError: The file has no rows, is broken, or not in the declared encoding.
    """
    with explaining(config):
        rows = reader.read(columns, categories, times)
    if not rows.table.num_rows and not rows.broken and not may_be_empty:
        raise InputError(f"Expected rows in {config.path.name}. Received: none after the header.")
    return rows


class _Parquet:
    def __init__(self, config: TableConfig) -> None:
        self._path = config.path
        self.columns = pyarrow.parquet.read_schema(self._path).names

    def read(self, columns: Collection[str], categories: Collection[str], times: Collection[str]) -> Rows:
        table = pyarrow.parquet.read_table(self._path, columns=list(columns), read_dictionary=list(categories))
        undecodable: dict[str, np.ndarray] = {}
        for place, name in enumerate(table.column_names):
            column, bad = _decode(table[name])
            table = table.set_column(place, name, column)
            if bad.any():
                undecodable[name] = bad
        return Rows(table, range(1, table.num_rows + 1), [], undecodable)


class _JsonLines:
    def __init__(self, config: TableConfig) -> None:
        # Each line may bring another column: which there are is known once all are read.
        self._table = self._parse(config)
        self.columns = self._table.column_names
        fields = [pa.field(field.name, _as_written(field.type)) for field in self._table.schema]
        as_written = [field for field, found in zip(fields, self._table.schema, strict=True) if field != found]
        if as_written:
            self._table = self._parse(config, pa.schema(as_written)).select(self.columns)

    @staticmethod
    def _parse(config: TableConfig, schema: pa.Schema | None = None) -> pa.Table:
        with pa.input_stream(str(config.path), compression="detect") as stream:
            decoded = pa.transcoding_input_stream(stream, config.encoding, "utf-8")
            return pyarrow.json.read_json(
                decoded,
                pyarrow.json.ReadOptions(block_size=BLOCK),
                pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="infer"),
            )

    def read(self, columns: Collection[str], categories: Collection[str], times: Collection[str]) -> Rows:
        table = self._table.select(list(columns))
        table.validate(full=True)  # nothing else looks at the bytes of its strings
        return Rows(table, range(1, table.num_rows + 1), [])


def _as_written(kind: pa.DataType) -> pa.DataType:
    """A JSON column's type without times: all that Arrow takes for one is text, which it would write differently."""
    if pa.types.is_temporal(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_as_written(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, _as_written(field.type)) for field in kind])
    return kind


def _decode(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, np.ndarray]:
    """A Parquet column with its text and bytes as UTF-8, and which rows (bool [num_rows]) are not. Nothing else looks:
    a Parquet file may say that bytes are text."""
    kind = column.type
    good = np.zeros(len(column), bool)
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    content = kind.value_type if is_list or pa.types.is_dictionary(kind) else kind
    is_text = pa.types.is_string(content) or pa.types.is_large_string(content) or pa.types.is_string_view(content)
    is_bytes = pa.types.is_binary(content) or pa.types.is_large_binary(content) or pa.types.is_binary_view(content)
    if not (is_text or is_bytes or pa.types.is_fixed_size_binary(content)):
        return column, good
    as_bytes, as_text = (pa.list_(pa.binary()), pa.list_(pa.string())) if is_list else (pa.binary(), pa.string())
    try:
        if is_text:
            column.validate(full=True)
            return column, good
        return column.cast(as_text), good
    except pa.ArrowInvalid:
        rows = column.cast(as_bytes).to_pylist()
    bad = np.array([any(map(_is_undecodable, row or ())) if is_list else _is_undecodable(row) for row in rows], bool)
    text = [[_replace(value) for value in row] if isinstance(row, list) else _replace(row) for row in rows]
    return pa.chunked_array([pa.array(text, as_text)]), bad


def _is_undecodable(value: bytes | None) -> bool:
    try:
        (value or b"").decode()
    except UnicodeDecodeError:
        return True
    return False


def _replace(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")


@contextmanager
def explaining(config: TableConfig) -> Iterator[None]:
    """Says in the reader's place what is wrong with a file."""
    name = config.path.name
    try:
        yield
    except InputError:
        raise
    except (UnicodeError, pa.ArrowInvalid) as error:
        is_text = config.path.suffix != ".parquet"
        if is_text and (isinstance(error, UnicodeError) or "utf8" in str(error).lower()):
            raise InputError(
                f"Expected text in {config.encoding} in {name}. Received: {_undecodable(config) or error}. "
                "Name the encoding that the file has, such as --encoding latin-1."
            ) from error
        if _is_json(config.path):
            raise InputError(
                f"Expected a JSON object a line in {name}, with values of one kind a column. "
                f"Received: {_broken_line(config) or re.sub(' in row [0-9]+', '', str(error))}."
            ) from error
        raise InputError(f"Expected a readable file at {config.path}. Received: {error}.") from error
    except (pa.ArrowException, OSError, EOFError, zlib.error) as error:
        raise InputError(f"Expected a readable file at {config.path}. Received: {error}.") from error


def _is_json(path: Path) -> bool:
    return path.name.removesuffix(".gz").endswith((".jsonl", ".ndjson"))


def _undecodable(config: TableConfig) -> str | None:
    """The first line that is not in the declared encoding, where lines can be told apart before decoding."""
    if "\n".encode(config.encoding) != b"\n":
        return None
    with open_bytes(config.path) as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode(config.encoding)
            except UnicodeDecodeError as error:
                return f"{line[max(error.start - 20, 0) : error.end + 20]!r} in line {number:,}"
    return None


def _broken_line(config: TableConfig) -> str | None:
    with open_bytes(config.path) as binary:
        for number, line in enumerate(binary, 1):
            try:
                if line.strip() and not isinstance(json.loads(line.decode(config.encoding)), dict):
                    return f"{line[:60]!r} in line {number:,}"
            except ValueError as error:
                return f"{line[:60]!r} in line {number:,} ({error})"
    return None


_READERS: dict[str, type[CsvReader] | type[_Parquet] | type[_JsonLines]] = {
    ".csv": CsvReader,
    ".tsv": CsvReader,
    ".txt": CsvReader,
    ".parquet": _Parquet,
    ".jsonl": _JsonLines,
    ".ndjson": _JsonLines,
}
