"""Tables that are in several files."""

import zlib
from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from tfrec.config import TableConfig
from tfrec.datasets.checks import RowNumbers
from tfrec.datasets.readers import Reader, Rows, explaining, open_file
from tfrec.datasets.text_files import beginning
from tfrec.errors import InputError


def open_table(config: TableConfig) -> Reader:
    """Opens the file of a table, or its files as one.

    Raises:
        InputError: As of `open_file`; or files of one table have other columns than its first.
    """
    if config.files and config.files != (config.path,):
        return Shards([config.model_copy(update={"path": file}) for file in config.files])
    return open_file(config)


def reckoned_rows(config: TableConfig) -> int:
    """How many rows a table's files have: Parquet files say it, of text it is estimated from how it begins."""
    return sum(_rows_of(config.model_copy(update={"path": file})) for file in config.files)


def _rows_of(config: TableConfig) -> int:
    with explaining(config):
        if config.path.suffix == ".parquet":
            return int(pyarrow.parquet.read_metadata(config.path).num_rows)
        size, start = config.path.stat().st_size, beginning(config.path)
        packed = zlib.compress(start, 1) if config.path.suffix == ".gz" else start
        return round(start.count(b"\n") * size / max(len(packed), 1)) - 1  # less the header


class Shards:
    """Files that are one table."""

    def __init__(self, configs: list[TableConfig]) -> None:
        self._configs, self._readers = configs, [open_file(config) for config in configs]
        self.columns = self._readers[0].columns
        for config, reader in zip(configs, self._readers, strict=True):
            if set(reader.columns) != set(self.columns):
                raise InputError(
                    f"Expected the columns {self.columns} in {config.path}, as in {configs[0].path.name}. "
                    f"Received: {reader.columns}. The files of a table have the same columns."
                )

    def read(self, columns: Collection[str], categories: Collection[str], times: Collection[str]) -> Rows:
        parts = self._read(columns, categories, times)
        kinds = [{part.table.schema.field(name).type for part in parts if part.table.num_rows} for name in times]
        if any(len(each) > 1 and not all(map(pa.types.is_integer, each)) for each in kinds):
            parts = self._read(columns, categories, ())  # Only together it is seen how times are written.
        undecodable = {
            name: np.concatenate([part.undecodable.get(name, np.zeros(part.table.num_rows, bool)) for part in parts])
            for name in sorted(set().union(*(part.undecodable for part in parts)))
        }
        numbers = _ShardNumbers([config.path.name for config in self._configs], [part.numbers for part in parts])
        names = [config.path.name for config in self._configs]
        broken = [
            (f"{row} of {name}", text) for name, part in zip(names, parts, strict=True) for row, text in part.broken
        ]
        values = [
            _reordered(each, reader.columns, self.columns)
            for reader, part in zip(self._readers, parts, strict=True)
            for each in part.broken_values
        ]
        return Rows(self._concatenated([part.table for part in parts]), numbers, broken, undecodable, values)

    def _read(self, columns: Collection[str], categories: Collection[str], times: Collection[str]) -> list[Rows]:
        parts = []
        for config, reader in zip(self._configs, self._readers, strict=True):
            with explaining(config):
                parts.append(reader.read(columns, categories, times))
        return parts

    def _concatenated(self, tables: list[pa.Table]) -> pa.Table:
        filled = [(table, config) for table, config in zip(tables, self._configs, strict=True) if table.num_rows]
        if not filled:
            return tables[0]
        first, named = filled[0][0], filled[0][1].path.name
        for name in first.column_names:
            kinds = [table.schema.field(name).type for table, _ in filled]
            if len(set(kinds)) > 1 and any(map(pa.types.is_dictionary, kinds)):
                filled = [(_with_plain(table, name), config) for table, config in filled]
        for table, config in filled:
            for name in first.column_names:
                expected, received = filled[0][0].schema.field(name).type, table.schema.field(name).type
                try:
                    pa.unify_schemas(
                        [pa.schema([(name, expected)]), pa.schema([(name, received)])], promote_options="permissive"
                    )
                except (pa.ArrowTypeError, pa.ArrowInvalid):
                    raise InputError(
                        f"Expected values of one kind in column '{name}', in {config.path} {expected} as in {named}. "
                        f"Received: {received}. Write that file's column as the others have it."
                    ) from None
        return pa.concat_tables([table for table, _ in filled], promote_options="permissive")


class _ShardNumbers:
    """The rows of several files, as people name them."""

    def __init__(self, names: list[str], numbers: list[RowNumbers]) -> None:
        self._names, self._numbers = names, numbers
        self._ends = np.cumsum([len(each) for each in numbers])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, row: int) -> str:
        shard = int(np.searchsorted(self._ends, row, side="right"))
        place = row - (self._ends[shard - 1] if shard else 0)
        return f"{self._numbers[shard][place]} of {self._names[shard]}"


def _with_plain(table: pa.Table, name: str) -> pa.Table:
    """The table with a column of values, not of codes."""
    column = table[name]
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    return table.set_column(table.column_names.index(name), name, column.cast(kind))


def _reordered(values: list[str], columns: list[str], wanted: list[str]) -> list[str]:
    """The values of a broken row, as far as it has them, in the order of other columns."""
    if columns == wanted:
        return values
    places = [columns.index(column) for column in wanted]
    return [values[place] for place in places] if len(values) > max(places) else []
