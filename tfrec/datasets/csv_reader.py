"""Opens CSV files as Arrow tables."""

import codecs
import csv
import itertools
import re
from collections import deque
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.csv

from tfrec.config import TableConfig
from tfrec.datasets.checks import RowNumbers
from tfrec.datasets.rows import Rows
from tfrec.datasets.text_files import BLOCK, beginning, is_single_byte, open_bytes
from tfrec.errors import InputError

DELIMITERS = ",\t;|"
"""What may divide the columns of a CSV file if nobody says what does."""

_SMALL_BLOCK = 1 << 20  # instead of BLOCK as long as no value is longer: Arrow reads 32 blocks ahead
_TOGETHER = 8  # parsed blocks whose values become codes together

_CATEGORY = pa.dictionary(pa.int32(), pa.string())

_TIMES = (pa.int64(), pa.timestamp("us", "UTC"), pa.timestamp("us"))
"""How times may be written in a whole column of a CSV file, one to be tried after the other."""


class CsvReader:
    """A CSV file, opened: a Reader.

    Whether values are quoted, how times are written, and how long values are is guessed, as it is in most files. Where
    that turns out wrong, the file is read again.

    Args:
        config: Its table. If it says no delimiter, the header does.

    Raises:
        InputError: The delimiter is not one character, or the file begins like one in UTF-8 although its encoding is
            another.
    """

    def __init__(self, config: TableConfig) -> None:
        self._path, self._encoding = config.path, config.encoding
        with open_bytes(config.path) as binary, codecs.getreader(config.encoding)(binary) as file:
            header = file.readline().removeprefix("\ufeff")
            if is_single_byte(config.encoding) and header.encode(config.encoding).startswith(codecs.BOM_UTF8):
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
        attempts, is_quoted, block = [*_TIMES] if times else [], b'"' in beginning(self._path), _SMALL_BLOCK
        while True:
            kind = attempts[0] if attempts else pa.string()
            types = {name: kind if name in times else pa.string() for name in columns}
            try:
                table, broken, quotes = self._parse(types, categories, is_quoted, block)
            except _QuoteFoundError:
                is_quoted = True
            except pa.ArrowInvalid as error:
                if "straddl" in str(error) and block < BLOCK:
                    block = BLOCK
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

    def _require_closed_quotes(self) -> None:
        """A quote that is never closed would swallow the rest of the file without a word."""
        table, broken, _ = self._parse(dict.fromkeys(self.columns, pa.string()), (), True, BLOCK)
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


def _sniff(header: str) -> str:
    unquoted = re.sub(r'"[^"]*"', "", header)
    return max(DELIMITERS, key=unquoted.count)
