"""Lists of item ids as the padded rows that a signature takes, and answered rows as lists of items."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import tensorflow as tf

from tfrec.serving.signatures import TensorSpec, Values

Recommendations = list[list[tuple[str, float]]]
"""For every row the items, best first, each with its score."""


def pad(
    name: str, rows: Sequence[Sequence[str]], spec: TensorSpec, *, may_cut: bool = False, begins_empty: bool = False
) -> np.ndarray:
    """Rows of ids or categories, filled up with "" on the right.

    Args:
        name: What the caller calls the rows; for messages.
        rows: A list of ids each.
        spec: The input: string `[batch_size, width]`. A width that is not fixed becomes the next power of two, so
            that the server meets few different shapes.
        may_cut: Whether a row longer than a fixed width keeps its last ids only; if not, it is an error.
        begins_empty: Whether the first place stays "" where the width is not fixed, since a server's
            `pad_variable_length_inputs` fills a tensor up with its first element.

    Returns:
        Object array `[len(rows), width]` of str.

    Raises:
        ValueError: The rows are no lists of ids, or one is too long and may not be cut.
    """
    if spec.shape is None or len(spec.shape) != 2:
        raise ValueError(f"Expected an input of shape [batch_size, width] for {name}. Received: {spec}.")
    if isinstance(rows, str) or any(isinstance(row, str | bytes) for row in rows):
        raise ValueError(f"Expected a list of lists of ids as {name}. Received: {rows!r}.")
    longest = max(map(len, rows), default=0)
    width = spec.shape[1]
    first = 1 if begins_empty and width is None else 0
    if width is None:
        width = 1 << max(first + longest - 1, 0).bit_length()
    elif longest > width and not may_cut:
        raise ValueError(
            f"Expected at most {width} ids a row in {name}, all that the model takes. Received: {longest}."
        )
    padded = np.full((len(rows), width), "", dtype=object)
    for position, row in enumerate(rows):
        kept = list(row)[max(len(row) - width, 0) :]
        if "" in kept:
            raise ValueError(f"Expected nothing empty in {name}. Received: '' in row {position}, which is the padding.")
        padded[position, first : first + len(kept)] = kept
    return padded


def pad_beside(
    name: str, rows: Sequence[Sequence[Any]] | None, histories: Sequence[Sequence[str]], spec: TensorSpec, width: int
) -> np.ndarray:
    """What is known of each item of the histories, cut and filled up as `pad` does them.

    Args:
        name: What the caller calls the rows; for messages.
        rows: For every history as many values as it has items, None where one is unknown. None: not given, which only
            histories without items allow.
        histories: Lists of ids.
        spec: The input: strings, in which "" is unknown, or numbers, in which 0 is.
        width: Places of a padded history.

    Returns:
        `[len(histories), width]`, of str (object) or of the input's dtype.

    Raises:
        ValueError: The rows are missing, or not as long as the histories.
    """
    if rows is None:
        if any(map(len, histories)):
            raise ValueError(
                f"Expected {name} beside the histories, which this model reads. Received: none. Give one list a "
                "history, with a value for each of its items, None where it is unknown."
            )
        rows = [[] for _ in histories]
    is_list = not isinstance(rows, str) and not any(isinstance(row, str | bytes) for row in rows)
    if not is_list or [*map(len, rows)] != [*map(len, histories)]:
        raise ValueError(
            f"Expected as many {name} as items in each history: {[*map(len, histories)]}. Received: "
            + (f"{[*map(len, rows)]}." if is_list else f"{rows!r}.")
        )
    unknown_value: Any = "" if spec.dtype == tf.string else 0
    dtype = object if spec.dtype == tf.string else spec.dtype.as_numpy_dtype
    padded = np.full((len(rows), width), unknown_value, dtype)
    for position, row in enumerate(rows):
        kept = [unknown_value if value is None else value for value in row[max(len(row) - width, 0) :]]
        padded[position, : len(kept)] = kept
    return padded


def with_cut_off(
    exclude: Sequence[Sequence[str]], histories: Sequence[Sequence[str]], kept: int, spec: TensorSpec
) -> list[list[str]]:
    """What is to be excluded, and behind it the ids of each history before its last `kept`: newest first, each once.

    Args:
        exclude: A list of ids for each history.
        histories: Oldest first.
        kept: How many ids the model sees of a history.
        spec: The input for what is excluded. Where its width is fixed, the oldest ids that do not fit are left away.
    """
    extended = []
    for row, history in zip(exclude, histories, strict=True):
        before = reversed(history[: max(len(history) - kept, 0)])
        known = {*row, ""}
        cut_off = [id for id in dict.fromkeys(before) if id not in known]
        room = None if spec.shape is None or spec.shape[1] is None else max(spec.shape[1] - len(row), 0)
        extended.append([*row, *cut_off[:room]])
    return extended


def unknown(name: str, spec: TensorSpec, batch_size: int) -> np.ndarray:
    """What stands for "not known" in an input: "" in strings, NaN in floats.

    Returns:
        An array of the input's shape; a dimension that is not fixed is 1.

    Raises:
        ValueError: The dtype has no such value.
    """
    if spec.dtype != tf.string and not spec.dtype.is_floating:
        raise ValueError(
            f"Expected a string or float input, for which there is a value for 'unknown'. Received: '{name}', {spec}. "
            "Call predict() with a value for it."
        )
    inner = (spec.shape or (None,))[1:]
    shape = (batch_size, *(1 if size is None else size for size in inner))
    if spec.dtype == tf.string:
        return np.full(shape, "", dtype=object)
    return np.full(shape, np.nan, dtype=spec.dtype.as_numpy_dtype)


def attribute(name: str, values: Values, spec: TensorSpec, batch_size: int) -> Values:
    """What is known of the users, as an input: `unknown` in place of None, `days` in place of dates.

    Args:
        name: The input.
        values: One value a row; an array goes as it is.
        spec: The input.
        batch_size: How many values there must be.

    Raises:
        ValueError: There are more or fewer; or one is None, and the dtype has no value for "unknown".
    """
    if isinstance(values, str | bytes):
        raise ValueError(f"Expected one value a history as {name}. Received: {values!r}. Write [{values!r}].")
    if len(values) != batch_size:
        raise ValueError(f"Expected {batch_size} values as {name}, one a history. Received: {len(values)}.")
    if isinstance(values, np.ndarray):
        return values
    blank = unknown(name, spec, 1)[0] if any(value is None for value in values) else None
    is_number = spec.dtype.is_floating
    return [
        blank if value is None else days(value) if is_number and isinstance(value, date) else value for value in values
    ]


def days(when: date) -> float:
    """Days since 1970, which is what a model knows dates as; of a time (UTC unless it has a zone) with a fraction."""
    moment = when if isinstance(when, datetime) else datetime(when.year, when.month, when.day)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(days=1)


def text_array(name: str, values: Sequence[str]) -> np.ndarray:
    """A list of strings as an array `[len(values)]`.

    Raises:
        ValueError: It is one string, which Python would take for a list of letters.
    """
    if isinstance(values, str | bytes):
        raise ValueError(f"Expected a list of strings as {name}. Received: {values!r}. Write [{values!r}].")
    array = np.empty(len(values), dtype=object)
    array[:] = list(values)
    return array


def ranking(outputs: Mapping[str, np.ndarray], count: int | None) -> Recommendations:
    """Answered `item_ids` and `scores`, both `[batch_size, k]`, as lists of items; "" means that there are no more.

    Raises:
        ValueError: `count` is negative or more than k.
    """
    item_ids, scores = outputs["item_ids"], outputs["scores"]
    k = item_ids.shape[1]
    if count is not None and not 0 <= count <= k:
        raise ValueError(f"Expected a count of 0 to {k}, the number of items that this model gives. Received: {count}.")
    return [
        [(item.decode(), float(score)) for item, score in zip(*row, strict=True) if item][:count]
        for row in zip(item_ids, scores, strict=True)
    ]
