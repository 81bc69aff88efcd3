"""The inputs of a recommender's signatures, made from lists: what the clients send, and what batch work feeds."""

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfrec.serving.rows import attribute, pad, pad_beside, unknown, with_cut_off
from tfrec.serving.signatures import Signature, TensorSpec, Values

HISTORY, EXCLUDED, CANDIDATES = "history_item_ids", "exclude_item_ids", "candidate_item_ids"
BESIDE_HISTORIES = {"history_events": "events", "history_timestamps": "timestamps", "history_labels": "labels"}
FILTER = "filter_"


def recommend_inputs(
    signature: Signature,
    histories: Sequence[Sequence[str]],
    exclude: Sequence[Sequence[str]] | None = None,
    attributes: Mapping[str, Sequence[Any]] | None = None,
    events: Sequence[Sequence[str | None]] | None = None,
    timestamps: Sequence[Sequence[int | None]] | None = None,
    filters: Mapping[str, Sequence[Any]] | None = None,
) -> dict[str, Values]:
    """The inputs of `recommend`. What it takes is told at `Client.recommend`.

    Returns:
        Every input of the signature, with a row for each history.

    Raises:
        ValueError: The lists do not go with each other or with the signature.
    """
    exclude = [[] for _ in histories] if exclude is None else exclude
    specs = signature.inputs
    for name in (HISTORY, EXCLUDED):
        if name not in specs:
            raise ValueError(
                f"Expected a recommender, whose serving_default takes {name}. Received: {list(specs)}. A model "
                "that predicts the click is asked with candidates: rank()."
            )
    history = pad("histories", histories, specs[HISTORY], may_cut=True)
    excluded = pad("exclude", exclude, specs[EXCLUDED], begins_empty=True)
    if max(map(len, histories), default=0) > history.shape[1]:
        extended = with_cut_off(exclude, histories, history.shape[1], specs[EXCLUDED])
        excluded = pad("exclude", extended, specs[EXCLUDED], begins_empty=True)
    inputs: dict[str, Values] = {HISTORY: history, EXCLUDED: excluded}
    beside = _beside(histories, events, timestamps, specs) | _filters(filters or {}, specs, len(histories))
    return inputs | beside | _attributes(attributes or {}, specs, {*inputs, *beside}, len(histories))


def rank_inputs(
    signature: Signature,
    histories: Sequence[Sequence[str]],
    candidates: Sequence[Sequence[str]],
    attributes: Mapping[str, Sequence[Any]] | None = None,
    events: Sequence[Sequence[str | None]] | None = None,
    timestamps: Sequence[Sequence[int | None]] | None = None,
    labels: Sequence[Sequence[float]] | None = None,
) -> dict[str, Values]:
    """The inputs of `rank`. What it takes is told at `Client.rank`. Returns and raises as `recommend_inputs` does."""
    specs = signature.inputs
    inputs: dict[str, Values] = {
        HISTORY: pad("histories", histories, specs[HISTORY], may_cut=True),
        CANDIDATES: pad("candidates", candidates, specs[CANDIDATES]),
    }
    beside = _beside(histories, events, timestamps, specs, labels)
    return inputs | beside | _attributes(attributes or {}, specs, {*inputs, *beside}, len(histories))


def _beside(
    histories: Sequence[Sequence[str]],
    events: Sequence[Sequence[str | None]] | None,
    timestamps: Sequence[Sequence[int | None]] | None,
    specs: Mapping[str, TensorSpec],
    labels: Sequence[Sequence[float]] | None = None,
) -> dict[str, Values]:
    """What is told beside the items of the histories, of which the model takes the last."""
    given = {"history_events": events, "history_timestamps": timestamps, "history_labels": labels}
    width = pad("histories", histories, specs[HISTORY], may_cut=True).shape[1]
    for name, said in BESIDE_HISTORIES.items():
        if given[name] is not None and name not in specs:
            raise ValueError(f"Expected no {said}: this model does not read {name}. Received: some.")
    return {
        name: pad_beside(said, given[name], histories, specs[name], width)
        for name, said in BESIDE_HISTORIES.items()
        if name in specs
    }


def _filters(given: Mapping[str, Sequence[Any]], specs: Mapping[str, TensorSpec], batch_size: int) -> dict[str, Values]:
    """The inputs for what is asked of the items; of the other filters nothing is."""
    specs = {name.removeprefix(FILTER): spec for name, spec in specs.items() if name.startswith(FILTER)}
    if strangers := sorted(set(given) - set(specs)):
        raise ValueError(f"Expected filters among {sorted(specs)}, which this model has. Received: {strangers}.")
    inputs: dict[str, Values] = {}
    for name, spec in specs.items():
        if name not in given:
            inputs[FILTER + name] = unknown(name, spec, batch_size)
        elif spec.dtype == tf.string:
            if len(given[name]) != batch_size:
                raise ValueError(f"Expected {batch_size} lists in {name}, one a history. Received: {len(given[name])}.")
            rows = [[] if row is None else row for row in given[name]]
            inputs[FILTER + name] = pad(name, rows, spec, begins_empty=True)
        else:
            inputs[FILTER + name] = attribute(name, given[name], spec, batch_size)
    return inputs


def _attributes(
    given: Mapping[str, Sequence[Any]], specs: Mapping[str, TensorSpec], others: set[str], batch_size: int
) -> dict[str, Values]:
    """All inputs but the others: what is given, and the mark of what is not known."""
    known = [name for name in specs if name not in others]
    if strangers := sorted(set(given) - set(known)):
        raise ValueError(f"Expected attributes among {known}, which this model takes. Received: {strangers}.")
    return {
        name: attribute(name, given[name], specs[name], batch_size)
        if name in given
        else unknown(name, specs[name], batch_size)
        for name in known
    }
