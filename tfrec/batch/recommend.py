"""Recommending for all users: histories in, the items of each user out."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import apache_beam as beam
import pyarrow as pa

from tfrec.batch.ask import AskModel
from tfrec.batch.model import LoadedModel, ModelVersion
from tfrec.batch.rejected import REJECTED, Counters, reject
from tfrec.batch.run import Output
from tfrec.batch.tables import Chunk, ReadTable, as_id, to_rows
from tfrec.serving.inputs import BESIDE_HISTORIES, EXCLUDED, FILTER, HISTORY, recommend_inputs
from tfrec.serving.rows import ranking
from tfrec.serving.signatures import Signature

EVENTS, TIMES = "history_events", "history_timestamps"

SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("item_ids", pa.list_(pa.string())),
        ("scores", pa.list_(pa.float32())),
        ("model", pa.string()),
        ("model_version", pa.int64()),
    ]
)

Moment = tuple[float, str, int, str, str | None]
"""An interaction of a user: time, file, row, item, event. Sorted so, a history is the same on every runner."""


def add_recommend(
    pipeline: beam.Pipeline,
    table: ReadTable,
    columns: Mapping[str, str] | None,
    recommend: "Recommend",
    output: Output,
    batch_size: int,
) -> None:
    """Adds the steps to a pipeline.

    Args:
        pipeline: Where to.
        table: Interactions, one a row, or histories, one a row.
        columns: Of interactions the columns that are `user_id`, `item_id`, `timestamp` and `event`; None: these are
            histories, with columns named as the signature's inputs, and `user_id`.
        recommend: What is asked.
        output: Where it goes.
        batch_size: The most users that the model is asked for at once.
    """
    read = pipeline | "Table" >> table
    if columns is None:
        checked = to_rows(read.chunks) | "Check" >> beam.ParDo(_CheckHistory()).with_outputs(REJECTED, main="rows")
        histories = checked.rows
    else:
        checked = read.chunks | "Users" >> beam.ParDo(_UsersOfChunk(columns)).with_outputs(REJECTED, main="rows")
        histories = checked.rows | "By user" >> beam.GroupByKey() | "Histories" >> beam.MapTuple(_history)
    answered = (
        histories
        | "Batches" >> beam.BatchElements(min_batch_size=batch_size, max_batch_size=batch_size)
        | "Recommend" >> beam.ParDo(recommend).with_outputs(REJECTED, main="tables")
    )
    output.write(answered.tables, [read[REJECTED], checked[REJECTED], answered[REJECTED]], SCHEMA)


class Recommend(AskModel):
    """Histories to recommendations, by the signature `recommend`.

    Args:
        version: The model.
        signature: What `recommend` takes.
        count: At most so many items a user; None: all that the model gives.
        filters: What the items must be, for all users who do not say themselves: as of `Client.recommend`, without
            the list over users.
    """

    def __init__(
        self,
        version: ModelVersion,
        signature: Signature,
        count: int | None = None,
        filters: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(version, "recommend", counted="users answered")
        self._specs = signature
        self._count = count
        self._filters = dict(filters or {})
        self._others = [name for name in signature.inputs if name not in (HISTORY, EXCLUDED, *BESIDE_HISTORIES)]

    def answer(self, model: LoadedModel, rows: Sequence[dict[str, Any]]) -> pa.Table:
        inputs = self.inputs(rows)
        found = ranking(model.ask(inputs), self._count)
        columns = [
            [row["user_id"] for row in rows],
            [[item for item, _ in items] for items in found],
            [[score for _, score in items] for items in found],
            [self.version.name] * len(rows),
            [self.version.version] * len(rows),
        ]
        return pa.table([pa.array(values, type) for values, type in zip(columns, SCHEMA.types, strict=True)], SCHEMA)

    def inputs(self, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The signature's inputs, as a client makes them."""
        histories = [row[HISTORY] for row in rows]
        beside: dict[str, list[Any]] = {
            name: [row.get(name) if row[HISTORY] else [] for row in rows]
            for name in (EVENTS, TIMES)
            if name in self._specs.inputs
        }
        for name, values in beside.items():
            if None in values:
                raise ValueError(f"Expected {name} beside {HISTORY}, which this model reads. Received: none.")
        attributes: dict[str, list[Any]] = {}
        filters: dict[str, list[Any]] = {}
        for name in self._others:
            filter = name.removeprefix(FILTER)
            default = self._filters.get(filter) if name.startswith(FILTER) else None
            values = [default if row.get(name) is None else row[name] for row in rows]
            (filters if name.startswith(FILTER) else attributes)[filter] = values
        exclude = [row.get(EXCLUDED) or [] for row in rows]
        inputs = recommend_inputs(
            self._specs, histories, exclude, attributes, beside.get(EVENTS), beside.get(TIMES), filters
        )
        return dict(self._specs.check(inputs))


class _CheckHistory(beam.DoFn):
    def __init__(self) -> None:
        self._counters = Counters()

    def process(self, row: dict[str, Any]) -> Iterator[Any]:
        try:
            lists = {name: list(map(as_id, row[name])) for name in (HISTORY, EXCLUDED) if row.get(name) is not None}
            checked = {**row, **lists, "user_id": as_id(row.get("user_id"))}
            if HISTORY not in lists or isinstance(row[HISTORY], str):
                raise ValueError(f"Expected a list of ids as {HISTORY}. Received: {row.get(HISTORY)!r}.")
        except (ValueError, TypeError) as error:
            yield reject(self._counters, "not a history", str(error), row)
        else:
            yield checked


class _UsersOfChunk(beam.DoFn):
    """What each user did in a chunk: grouped here already, so that fewer elements are sorted among the workers."""

    def __init__(self, columns: Mapping[str, str]) -> None:
        self._columns = dict(columns)
        self._counters = Counters()

    def process(self, chunk: Chunk) -> Iterator[Any]:
        users: dict[str, list[Moment]] = {}
        user, item, time = (self._columns[role] for role in ("user_id", "item_id", "timestamp"))
        event = self._columns.get("event")
        for place, row in enumerate(chunk.rows, chunk.first):
            try:
                did = None if event is None or row.get(event) is None else str(row[event])
                moment = (as_seconds(row.get(time)), chunk.file, place, as_id(row.get(item)), did)
                users.setdefault(as_id(row.get(user)), []).append(moment)
            except ValueError as error:
                yield reject(self._counters, "not an interaction", str(error), row)
        yield from users.items()


def _history(user: str, parts: Iterable[list[Moment]]) -> dict[str, Any]:
    moments = sorted(moment for part in parts for moment in part)
    return {
        "user_id": user,
        HISTORY: [moment[3] for moment in moments],
        EVENTS: [moment[4] for moment in moments],
        TIMES: [math.floor(moment[0]) for moment in moments],
    }


def as_seconds(value: Any) -> float:
    """A time as seconds since 1970: a number as it is, a date, or ISO 8601 (UTC unless it names a zone).

    Raises:
        ValueError: It is none of these.
    """
    try:
        seconds = float(value)
        if math.isfinite(seconds):
            return seconds
    except (TypeError, ValueError):
        pass
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError(f"Expected a time, as a number or as in 2024-05-01T12:30:00Z. Received: {value!r}.") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
