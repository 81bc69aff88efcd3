"""Tables in shards, read on the workers from wherever Beam's file systems lead."""

import codecs
import csv
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow.parquet
from apache_beam.io import fileio
from apache_beam.io.filesystem import FileMetadata
from apache_beam.io.filesystems import FileSystems

from tfrec.batch.rejected import REJECTED, Counters, reject
from tfrec.datasets.csv_reader import DELIMITERS
from tfrec.errors import InputError

CHUNK_ROWS = 4096
SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".jsonl", ".ndjson")
BAD_LINE = "not a row of the table"
UNDECODABLE = "not UTF-8"


class Chunk(NamedTuple):
    """Rows of a file that follow each other.

    Attributes:
        file: Its path.
        first: The number of the first row here, from 0.
        rows: By column; None where nothing is written. All values of a CSV file are strings.
    """

    file: str
    first: int
    rows: list[dict[str, Any]]


class ReadTable(beam.PTransform):
    """A table's files as chunks, and the lines that are none of its rows: outputs `chunks` and `rejected`.

    A file is read by one worker, from its begin to its end, and never held whole: a large table is many files.

    Args:
        pattern: A path, with `*` for the files of a table in shards: CSV, Parquet or JSON lines, the text formats also
            compressed (.gz, .bz2, .zst).

    Raises:
        InputError: No file is there, or one is of another format.
    """

    def __init__(self, pattern: str) -> None:
        super().__init__()
        self._pattern = pattern
        [found] = FileSystems.match([pattern])
        if not found.metadata_list:
            raise InputError(f"Expected files at {pattern}. Received: nothing there.")
        for each in found.metadata_list:
            _suffix(each.path)
        self._example = found.metadata_list[0].path

    def require(self, columns: Iterable[str], remedy: str) -> None:
        """Looks at the begin of a file, before anything is run.

        Raises:
            InputError: It lacks one of the columns.
        """
        with FileSystems.open(self._example) as file:
            rows = [row for row in itertools.islice(_reader(self._example)(file), 100) if isinstance(row, dict)]
        if not rows:
            raise InputError(f"Expected rows in {self._example}. Received: none.")
        found = dict.fromkeys(name for row in rows for name in row)  # A line of JSON names what it has.
        if missing := sorted(set(columns) - set(found)):
            raise InputError(
                f"Expected the columns {missing} in {self._example}. Received: {list(found)}. Pass {remedy}."
            )

    def expand(self, begin: beam.pvalue.PBegin) -> Any:
        return (
            begin
            | "Match" >> fileio.MatchFiles(self._pattern)
            | "Spread files" >> beam.Reshuffle()
            | "Read" >> beam.ParDo(_ReadFile()).with_outputs(REJECTED, main="chunks")
        )


def to_rows(chunks: Any) -> Any:
    """The rows of chunks, spread over all workers: a collection of dicts."""
    return chunks | "Spread rows" >> beam.Reshuffle() | "Rows" >> beam.FlatMap(lambda chunk: chunk.rows)


def as_id(value: Any) -> str:
    """An id as text.

    Raises:
        ValueError: It is missing, or a kind of value that has several spellings.
    """
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise ValueError(f"Expected an id, as text or a whole number. Received: {value!r}.")
    return str(value)


class _ReadFile(beam.DoFn):
    def __init__(self) -> None:
        self._counters = Counters()

    def process(self, file: FileMetadata) -> Iterator[Any]:
        rows, first = [], 0
        with FileSystems.open(file.path) as opened:
            try:
                for row in _reader(file.path)(opened):
                    self._counters.add("rows read")
                    if isinstance(row, _Bad):
                        yield reject(self._counters, row.reason, row.detail, row.row)
                        continue
                    rows.append(row)
                    if len(rows) == CHUNK_ROWS:
                        yield Chunk(file.path, first, rows)
                        rows, first = [], first + CHUNK_ROWS
            except (csv.Error, pyarrow.ArrowException, EOFError) as error:
                raise InputError(f"Expected a readable file at {file.path}. Received: {error}.") from error
        if rows:
            yield Chunk(file.path, first, rows)


class _Bad(NamedTuple):
    reason: str
    detail: str
    row: dict[str, Any] | str


def _csv_rows(file: Any) -> Iterator[dict[str, Any] | _Bad]:
    lines = _lines(file)
    header = next(lines, "")
    delimiter = max(DELIMITERS, key=header.count)
    columns = next(csv.reader([header], delimiter=delimiter), [])
    for values in csv.reader(lines, delimiter=delimiter, strict=True):
        if not values:  # an empty line
            continue
        if len(values) != len(columns):
            yield _Bad(BAD_LINE, f"Expected {len(columns)} values. Received: {len(values)}.", delimiter.join(values))
            continue
        row = {name: value or None for name, value in zip(columns, values, strict=True)}
        yield row if _is_text(values) else _Bad(UNDECODABLE, "Expected text in UTF-8.", row)


def _json_rows(file: Any) -> Iterator[dict[str, Any] | _Bad]:
    for line in _lines(file):
        if not line.strip():
            continue
        if not _is_text([line]):
            yield _Bad(UNDECODABLE, "Expected text in UTF-8.", line.rstrip("\n"))
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            yield _Bad(BAD_LINE, f"Expected a JSON object. Received: {error}.", line.rstrip("\n"))
            continue
        yield row if isinstance(row, dict) else _Bad(BAD_LINE, "Expected a JSON object.", line.rstrip("\n"))


def _parquet_rows(file: Any) -> Iterator[dict[str, Any] | _Bad]:
    for batch in pyarrow.parquet.ParquetFile(file).iter_batches(CHUNK_ROWS):
        try:
            yield from batch.to_pylist()
        except UnicodeDecodeError:
            for place in range(batch.num_rows):
                try:
                    [row] = batch.slice(place, 1).to_pylist()
                except UnicodeDecodeError as error:
                    yield _Bad(UNDECODABLE, f"Expected text in UTF-8. Received: {error}.", f"of a batch, row {place}")
                else:
                    yield row


def _lines(file: Any) -> Iterator[str]:
    """Lines with their ends; bytes that are no UTF-8 become surrogates, which say where they were."""
    # Beam's compressed files are no file objects that io.TextIOWrapper takes.
    return codecs.iterdecode(iter(file.readline, b""), "utf-8-sig", errors="surrogateescape")


def _is_text(values: list[str]) -> bool:
    try:
        "".join(values).encode()
    except UnicodeEncodeError:
        return False
    return True


def _reader(path: str) -> Callable[[Any], Iterator[dict[str, Any] | _Bad]]:
    suffix = _suffix(path)
    return _parquet_rows if suffix == ".parquet" else _json_rows if suffix in (".jsonl", ".ndjson") else _csv_rows


def _suffix(path: str) -> str:
    name = path.lower()
    for compressed in (".gz", ".bz2", ".zst"):
        name = name.removesuffix(compressed)
    suffix = f".{name.rpartition('.')[2]}"
    if suffix not in SUFFIXES:
        raise InputError(f"Expected a file that ends in one of {', '.join(SUFFIXES)}. Received: {path}.")
    return suffix
