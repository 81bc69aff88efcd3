"""Asking the model, a batch of rows at a time."""

from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.shared import Shared

from tfrec.batch.model import LoadedModel, ModelVersion
from tfrec.batch.rejected import Counters, reject

TABLE_ROWS = 8192
"""Rows that are gathered before they are handed on: each table becomes a row group of a Parquet file."""


class AskModel(beam.DoFn):
    """Batches of rows to tables of answers. A subclass says what is asked, and what comes of it.

    All copies in a process share one model. A row that the model, or `answer`, does not take makes its batch be halved
    until it stands alone; then it is rejected, and the others are answered.

    RunInference was not taken: its handler of TensorFlow models loads through Keras, which does not read these
    SavedModels, and with a handler of our own it gives a whole batch up for a row, and hands on each row by itself.

    Args:
        version: The model.
        signature: Which signature is asked.
        counted: What an answered row is counted as.
    """

    def __init__(self, version: ModelVersion, signature: str, counted: str) -> None:
        self.version = version
        self.signature = signature
        self._counted = counted
        self._shared = Shared()
        self._counters = Counters()

    def answer(self, model: LoadedModel, rows: Sequence[dict[str, Any]]) -> pa.Table:
        """The answers to the rows, one each.

        Raises:
            ValueError, TypeError: A row is not what the model takes.
        """
        raise NotImplementedError

    def setup(self) -> None:
        self._model = self._shared.acquire(lambda: LoadedModel(self.version, self.signature), tag=self.version.path)

    def start_bundle(self) -> None:
        self._tables: list[pa.Table] = []

    def process(self, rows: list[dict[str, Any]]) -> Iterator[Any]:
        yield from self._ask(rows)
        if sum(table.num_rows for table in self._tables) >= TABLE_ROWS:
            yield self._gathered()

    def finish_bundle(self) -> Iterator[Any]:
        if self._tables:
            yield GlobalWindows.windowed_value(self._gathered())

    def _ask(self, rows: list[dict[str, Any]]) -> Iterator[Any]:
        from tensorflow import errors

        try:
            table = self.answer(self._model, rows)
        except (ValueError, TypeError, errors.InvalidArgumentError) as error:
            if len(rows) == 1:
                yield reject(self._counters, "refused by the model", str(error), rows[0])
                return
            middle = len(rows) // 2
            yield from self._ask(rows[:middle])
            yield from self._ask(rows[middle:])
        else:
            self._counters.add(self._counted, table.num_rows)
            self._tables.append(table)

    def _gathered(self) -> pa.Table:
        table, self._tables = pa.concat_tables(self._tables), []
        return table.combine_chunks()
