"""Opens CSV, Parquet and JSON lines files as Arrow tables. What the values mean is for others to say."""

import codecs
import csv
import gzip
import itertools
import json
import re
import zlib
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from tfrec.config import TableConfig
from tfrec.datasets.checks import RowNumbers
from tfrec.errors import InputError

DELIMITERS = ",\t;|"
"""What may divide the columns of a CSV file if nobody says what does."""

_LOOKED_AT = 1 << 20  # bytes that tell an encoding
_BLOCK = 1 << 24  # bytes that Arrow parses at once; no single value may be longer
_SMALL_BLOCK = 1 << 20  # as long as no value is longer: Arrow reads 32 blocks ahead
_TOGETHER = 8  # parsed blocks whose values become codes together


@dataclass(frozen=True)
class Rows:
    """What a file holds.

    Attributes:
        table: Its columns. Those of a CSV file are strings, null where nothing is written.
        numbers: The row number of each row of `table`, as people count: from 1, after the header. Of several files,
            text that names the file too.
        broken: Row number, or such text, and what is in the rows that do not have a value for each column; they are not
            in `table`.
        broken_values: What each of them has instead.
        undecodable: Of a column that has values which are no UTF-8, the rows of these, bool [num_rows]. They hold
            replacement characters.
    """

    table: pa.Table
    numbers: RowNumbers
    broken: Sequence[tuple[int | str, str]]
    undecodable: dict[str, np.ndarray] = field(default_factory=dict)
    broken_values: list[list[str]] = field(default_factory=list)


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
    return _is_single_byte(config.encoding) and any(_is_utf8_beyond_ascii(config, file) for file in files)


def _is_utf8_beyond_ascii(config: TableConfig, path: Path) -> bool:
    with explaining(config), _open(path) as file:
        start = file.read(_LOOKED_AT)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)  # its last character may be cut
    except UnicodeDecodeError:
        return False
    return not start.isascii()


def _is_single_byte(encoding: str) -> bool:
    decodable = 0
    for byte in range(0x80, 0x100):
        with suppress(UnicodeError):
            decodable += len(bytes([byte]).decode(encoding)) == 1
    return decodable > 64  # Shift JIS has 63 characters of one such byte, others of several bytes fewer


def read_rows(
    reader: Reader,
    config: TableConfig,
    columns: Collection[str],
    categories: Collection[str] = (),
    times: Collection[str] = (),
) -> Rows:
    """Reads columns of an opened file.

    Args:
        reader: The opened file.
        config: Its table.
        columns: Names of what is read.
        categories: Of these, those with the same values again and again.
        times: Of these, those that are likely whole numbers or moments.

    Raises:
        InputError: The file has no rows, is broken, or not in the declared encoding.
    """
    with explaining(config):
        rows = reader.read(columns, categories, times)
    if not rows.table.num_rows and not rows.broken:
        raise InputError(f"Expected rows in {config.path.name}. Received: none after the header.")
    return rows


class _Csv:
    def __init__(self, config: TableConfig) -> None:
        self._path, self._encoding = config.path, config.encoding
        with _open(config.path) as binary, codecs.getreader(config.encoding)(binary) as file:
            header = file.readline().removeprefix("\ufeff")
            if _is_single_byte(config.encoding) and header.encode(config.encoding).startswith(codecs.BOM_UTF8):
                raise InputError(
                    f"Expected text in {config.encoding} in {config.path.name}. Received: the mark that begins a file "
                    "in UTF-8. Leave --encoding out; it can be set for one table alone, as in --set "
                    "data.items.encoding=utf-8."
                )
            self._delimiter = config.delimiter or _sniff(header)
            if len(self._delimiter) != 1:
                raise InputError(f"Expected one character as --delimiter. Received: {self._delimiter!r}.")
            is_whole = header.count('"') % 2 == 0  # else a quoted column name goes on in the next line
            lines = [header] if is_whole else [header, *file]
        self.columns = next(csv.reader(lines, delimiter=self._delimiter), [])

    def read(self, columns: Collection[str], categories: Collection[str], times: Collection[str]) -> Rows:
        attempts, is_quoted, block = [*_TIMES] if times else [], self._begins_with_quotes(), _SMALL_BLOCK
        while True:
            kind = attempts[0] if attempts else pa.string()
            types = {name: kind if name in times else pa.string() for name in columns}
            try:
                table, broken, quotes = self._parse(types, categories, is_quoted, block)
            except _QuoteFoundError:
                is_quoted = True
            except pa.ArrowInvalid as error:
                if "straddl" in str(error) and block < _BLOCK:
                    block = _BLOCK
                    continue
                if not attempts or f"conversion error to {kind}" not in str(error):
                    raise
                attempts.pop(0)  # Strings are what is left, and are looked at with more patience.
            else:
                break
        if quotes % 2:
            self._require_closed_quotes()
        numbers: RowNumbers = range(1, table.num_rows + 1)
        if broken:
            numbers = np.arange(1, table.num_rows + len(broken) + 1)
            numbers = np.delete(numbers, [number - 1 for number, _ in broken])
        return Rows(table, numbers, broken, broken_values=[self._divide(text) for _, text in broken])

    def _divide(self, row: str) -> list[str]:
        try:
            return next(csv.reader([row], delimiter=self._delimiter), [])
        except csv.Error:  # a line break that is not quoted, a value beyond the module's limit
            return []

    def _parse(
        self, types: dict[str, pa.DataType], categories: Collection[str], is_quoted: bool, block: int
    ) -> tuple[pa.Table, list[tuple[int, str]], int]:
        """Columns, broken rows, and the number of quotes.

        Each block's categories become codes while the next is parsed: the strings of a few blocks are all that is kept.

        Raises:
            _QuoteFoundError: There is a quote after all.
        """
        broken: list[tuple[int, str]] = []

        def skip(row: pyarrow.csv.InvalidRow) -> str:
            broken.append(((row.number or 1) - 1, row.text))  # the parser's row 1 is the header
            return "skip"

        def encode(batches: list[pa.RecordBatch]) -> list[pa.ChunkedArray]:
            table = pa.Table.from_batches(batches)
            return [table[name].dictionary_encode() if name in categories else table[name] for name in types]

        chunks: list[list[pa.Array]] = [[] for _ in types]
        encodings: deque[Future[list[pa.ChunkedArray]]] = deque()

        def collect() -> None:
            for column, encoded in zip(chunks, encodings.popleft().result(), strict=True):
                column += encoded.chunks

        with pa.input_stream(str(self._path), compression="detect") as binary, ThreadPoolExecutor(1) as encoder:
            stream = _CountingStream(binary, is_quoted)
            # Without threads of its own the parser counts rows.
            batches = pyarrow.csv.open_csv(
                pa.PythonFile(stream, "r"),
                pyarrow.csv.ReadOptions(encoding=self._encoding, block_size=block, use_threads=False),
                pyarrow.csv.ParseOptions(
                    delimiter=self._delimiter,
                    quote_char='"' if is_quoted else False,
                    newlines_in_values=is_quoted,
                    invalid_row_handler=skip,
                ),
                pyarrow.csv.ConvertOptions(
                    include_columns=list(types), column_types=types, null_values=[""], strings_can_be_null=True
                ),
            )
            while parsed := list(itertools.islice(batches, _TOGETHER)):
                encodings.append(encoder.submit(encode, parsed))
                if len(encodings) > 1:
                    collect()
            while encodings:
                collect()
        columns = [_joined(chunks.pop(0), _CATEGORY if name in categories else types[name]) for name in types]
        pa.default_memory_pool().release_unused()  # else what strings took would stay taken
        return pa.table(columns, names=list(types)), broken, stream.quotes

    def _begins_with_quotes(self) -> bool:
        with _open(self._path) as file:
            return b'"' in file.read(_LOOKED_AT)

    def _require_closed_quotes(self) -> None:
        """A quote that is never closed would swallow the rest of the file without a word."""
        table, broken, _ = self._parse(dict.fromkeys(self.columns, pa.string()), (), True, _BLOCK)
        last = [table[name][-1].as_py() for name in table.column_names if table.num_rows]
        if any("\n" in (value or "") for value in [*last, *(text for _, text in broken[-1:])]):
            row = table.num_rows + len(broken)
            raise InputError(
                f'Expected each " in {self._path.name} to have a second one that closes it. Received one without: the '
                f'value that begins at row {row:,} goes on to the end of the file. Close it, or write "" for a " '
                "inside of a quoted value."
            )


class _QuoteFoundError(Exception):
    """A file that seemed to have no quotes has one."""


class _CountingStream:
    """Counts the quotes of what is read.

    Args:
        stream: What to read.
        is_quoted: Whether there may be any.
    """

    closed = False

    def __init__(self, stream: pa.NativeFile, is_quoted: bool) -> None:
        self.quotes = 0
        self._stream, self._is_quoted = stream, is_quoted

    def read(self, size: int) -> pa.Buffer:
        """The next bytes.

        Raises:
            _QuoteFoundError: One is a quote, and there may be none.
        """
        block = self._stream.read_buffer(size)
        self.quotes += int(np.count_nonzero(np.frombuffer(block, np.uint8) == ord('"')))
        if self.quotes and not self._is_quoted:
            raise _QuoteFoundError
        return block

    def close(self) -> None:
        """What opened the stream closes it."""


def _joined(chunks: list[pa.Array], kind: pa.DataType) -> pa.ChunkedArray:
    """The chunks as one column: strings as they are, codes (into one dictionary in order of appearance) and numbers as
    one array."""
    column = pa.chunked_array(chunks, kind)
    chunks.clear()
    return column if pa.types.is_string(kind) or not len(column) else pa.chunked_array([column.combine_chunks()])


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
                pyarrow.json.ReadOptions(block_size=_BLOCK),
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


def _open(path: Path) -> BinaryIO:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _sniff(header: str) -> str:
    unquoted = re.sub(r'"[^"]*"', "", header)
    return max(DELIMITERS, key=unquoted.count)


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
    with _open(config.path) as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode(config.encoding)
            except UnicodeDecodeError as error:
                return f"{line[max(error.start - 20, 0) : error.end + 20]!r} in line {number:,}"
    return None


def _broken_line(config: TableConfig) -> str | None:
    with _open(config.path) as binary:
        for number, line in enumerate(binary, 1):
            try:
                if line.strip() and not isinstance(json.loads(line.decode(config.encoding)), dict):
                    return f"{line[:60]!r} in line {number:,}"
            except ValueError as error:
                return f"{line[:60]!r} in line {number:,} ({error})"
    return None


_CATEGORY = pa.dictionary(pa.int32(), pa.string())

_TIMES = (pa.int64(), pa.timestamp("us", "UTC"), pa.timestamp("us"))
"""How times may be written in a whole column of a CSV file, one to be tried after the other."""

_READERS: dict[str, type[_Csv] | type[_Parquet] | type[_JsonLines]] = {
    ".csv": _Csv,
    ".tsv": _Csv,
    ".txt": _Csv,
    ".parquet": _Parquet,
    ".jsonl": _JsonLines,
    ".ndjson": _JsonLines,
}
