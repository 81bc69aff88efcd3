"""Encoding items: a table of items in, a vector of each item out."""

from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pandas as pd
import pyarrow as pa

from tfrec.batch.ask import AskModel
from tfrec.batch.model import LoadedModel, ModelVersion
from tfrec.batch.rejected import REJECTED, Counters, reject
from tfrec.batch.run import Output
from tfrec.batch.tables import Chunk, ReadTable, as_id
from tfrec.errors import InputError
from tfrec.features.text import render_texts

SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("vector", pa.list_(pa.float32())),
        ("model", pa.string()),
        ("model_version", pa.int64()),
    ]
)


def add_encode(
    pipeline: beam.Pipeline, table: ReadTable, texts: "Texts", encode: "Encode", output: Output, batch_size: int
) -> None:
    """Adds the steps to a pipeline.

    Args:
        pipeline: Where to.
        table: Of items, one a row.
        texts: How they are put into words.
        encode: What is asked.
        output: Where it goes.
        batch_size: The most items that the model is asked for at once.
    """
    read = pipeline | "Table" >> table
    rendered = (
        read.chunks
        | "Spread rows" >> beam.Reshuffle()
        | "Texts" >> beam.ParDo(texts).with_outputs(REJECTED, main="rows")
    )
    encoded = (
        rendered.rows
        | "Batches" >> beam.BatchElements(min_batch_size=batch_size, max_batch_size=batch_size)
        | "Encode" >> beam.ParDo(encode).with_outputs(REJECTED, main="tables")
    )
    output.write(encoded.tables, [read[REJECTED], rendered[REJECTED], encoded[REJECTED]], SCHEMA)


class Texts(beam.DoFn):
    """Chunks of the items table to rows of `item_id` and `text`.

    Args:
        item_id: The column of ids.
        columns: Its text columns, joined by ". ".
        template: Instead of these, as of `render_texts`.
        read: All columns that are read.
    """

    def __init__(self, item_id: str, columns: Sequence[str], template: str | None, read: Sequence[str]) -> None:
        self._item_id = item_id
        self._text_columns = tuple(columns)
        self._template = template
        self._read = list(read)
        self._counters = Counters()

    def process(self, chunk: Chunk) -> Iterator[Any]:
        for row, text in zip(chunk.rows, self._render(chunk.rows), strict=True):
            try:
                if isinstance(text, InputError):
                    raise text
                item = as_id(row.get(self._item_id))
                if not text:
                    raise ValueError(f"Expected text in {self._read}. Received: none.")
            except ValueError as error:
                yield reject(self._counters, "not an item with text", str(error), row)
            else:
                yield {"item_id": item, "text": text}

    def _render(self, rows: list[dict[str, Any]]) -> list[str | InputError]:
        """The texts; of a row that the template does not fit, what is wrong."""
        try:
            return [*render_texts(pd.DataFrame(rows, columns=self._read), self._text_columns, self._template)]
        except InputError as error:
            return [error] if len(rows) == 1 else [text for row in rows for text in self._render([row])]


class Encode(AskModel):
    """Texts to vectors, by the signature `embed_item`."""

    def __init__(self, version: ModelVersion) -> None:
        super().__init__(version, "embed_item", counted="items encoded")

    def answer(self, model: LoadedModel, rows: Sequence[dict[str, Any]]) -> pa.Table:
        vectors = model.ask({"text": np.array([row["text"].encode() for row in rows], object)})["embedding"]
        columns = [
            [row["item_id"] for row in rows],
            [*vectors],
            [self.version.name] * len(rows),
            [self.version.version] * len(rows),
        ]
        return pa.table([pa.array(values, type) for values, type in zip(columns, SCHEMA.types, strict=True)], SCHEMA)
