"""Top-k over the catalogue as graph layers, from stock operations."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import tensorflow as tf

from tfrec import console
from tfrec.config import INDEX_RECALL, IndexKind
from tfrec.errors import InputError
from tfrec.features.vocabulary import NUM_SPECIAL
from tfrec.indices.exact import ExactIndex
from tfrec.indices.inverted_lists import CELL, FEW_CELLS, InvertedLists, divide

MANY_ITEMS = 200_000
"""From so many on, lists are faster by far."""
FIRST_PROBES = 16
FEWEST_CELLS, FEWEST_DEEP, FEWEST_DEEP_OF_MANY = 256, 512, 1024
"""Lists that must look at more than one in so many cells are no faster; with cells of cells, no faster than without,
for a few queries and for many."""
QUERIES_AT_ONCE = 32
ROUNDED_RECALL, MOST_AGAIN = 0.999, 12


class Index(Protocol):
    """Finds the items with the largest dot products; see ExactIndex for arguments and answer."""

    def __call__(
        self, queries: tf.Tensor, excluded: tf.Tensor, top_k: int, allowed: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]: ...


@dataclass(frozen=True)
class BuiltIndex:
    """An index, and what is worth knowing about it: its kind, its measured recall, its cells and probes."""

    index: Index
    facts: Mapping[str, str | float | int]


def build_index(
    vectors: tf.Variable,
    queries: np.ndarray,
    excluded: np.ndarray,
    top_k: int,
    kind: IndexKind = "auto",
    recall: float = INDEX_RECALL,
) -> BuiltIndex:
    """Builds an index, and measures what share of the exact answer it finds.

    Lists are measured with many queries at once and with each alone, and the lower recall is what they have: a batch
    with a query for which the cells hold too little is answered exactly as a whole.

    Args:
        vectors: float32 [num_rows, dimensions], a row for each row of the item table.
        queries: What will be asked, or is like it: float32 [num_queries, dimensions]; at least one.
        excluded: What is not to be in these answers: int32 [num_queries, num_excluded] item indices.
        top_k: How many items are wanted.
        kind: exact: all items are looked at. rounded: the same, in integers of 8 bits first; as many of the best are
            looked at again as find ROUNDED_RECALL of the exact answer. lists: the cells nearest to the query are.
            auto: exact; of MANY_ITEMS and more lists, if few cells suffice.
        recall: How much lists are to find of the exact answer: as many cells are looked at as that takes.

    Raises:
        InputError: rounded, and TensorFlow has no oneDNN here.
    """
    num_items = int(vectors.shape[0]) - NUM_SPECIAL
    asked = kind
    if kind == "auto":
        kind = "lists" if num_items >= MANY_ITEMS else "exact"
    exact = ExactIndex(vectors)
    if kind == "exact":
        return BuiltIndex(exact, {"kind": kind})
    asked_for = queries, excluded
    expected = _answers(exact, *asked_for, top_k)
    if kind == "rounded":
        return _build_rounded(vectors, *asked_for, expected)
    cells = divide(vectors.numpy())
    first = max(FIRST_PROBES, -(-(2 * top_k + excluded.shape[1]) // CELL))

    def probe(few_cells: int, most: int) -> tuple[InvertedLists, float]:
        """Lists that look at as many cells as it takes, but for at most so many, and their recall."""
        lists = InvertedLists(vectors, cells, min(first, most), few_cells)
        while (found := _recall(lists, *asked_for, expected)) < recall and lists.num_probes < most:
            lists.num_probes = min(lists.num_probes * 3 // 2, most)
        return lists, found

    lists, found = probe(FEW_CELLS, max(len(cells) // FEWEST_DEEP, first))
    if found < recall or lists.num_probes > len(cells) // FEWEST_DEEP_OF_MANY:
        of_all, found_of_all = probe(len(cells), len(cells) if asked == "lists" else len(cells) // FEWEST_CELLS)
        if found_of_all < recall and asked == "auto":
            few = f"{of_all.num_probes:,} of {len(cells):,} cells"
            console.say(f"index: exact, for {few} find {found_of_all:.3f} of it")
            return BuiltIndex(exact, {"kind": "exact"})
        if found < recall:
            lists, found = of_all, found_of_all
        else:
            lists.num_probes_of_all, found = of_all.num_probes, min(found, found_of_all)
    found = min(found, _recall(lists, *asked_for, expected, at_once=1))
    slow = ", as slow as exact" if lists.num_probes > len(cells) // FEWEST_CELLS else ""
    console.say(f"index: {lists.num_probes} of {len(cells):,} cells are looked at{slow}; recall@{top_k} {found:.3f}")
    probes = {"num_cells": len(cells), "num_probes": lists.num_probes, "num_probes_of_all": lists.num_probes_of_all}
    return BuiltIndex(
        lists, {"kind": kind, f"recall@{top_k}": found, **{name: value for name, value in probes.items() if value}}
    )


def _build_rounded(vectors: tf.Variable, queries: np.ndarray, excluded: np.ndarray, expected: np.ndarray) -> BuiltIndex:
    """As many are looked at again as that takes."""
    top_k = expected.shape[1]
    rounded = ExactIndex(vectors, is_rounded=True)
    try:
        while (found := _recall(rounded, queries, excluded, expected)) < ROUNDED_RECALL and rounded.factor < MOST_AGAIN:
            rounded.factor *= 1.5
    except (tf.errors.InternalError, tf.errors.NotFoundError, tf.errors.InvalidArgumentError):
        raise InputError(
            "Expected TensorFlow with oneDNN for --index rounded, as for Linux on x86. Received: one without. "
            "Set TF_ENABLE_ONEDNN_OPTS=1, here and where the model is served, or choose --index exact."
        ) from None
    num_again = int(rounded.num_again(top_k))
    if found < ROUNDED_RECALL:
        console.say(f"index: exact, for of products in 8 bits {num_again} items hold {found:.3f} of it")
        return BuiltIndex(ExactIndex(vectors), {"kind": "exact"})
    console.say(f"index: {num_again} items are looked at again; recall@{top_k} {found:.4f}")
    return BuiltIndex(rounded, {"kind": "rounded", f"recall@{top_k}": found, "num_looked_at_again": num_again})


def _answers(
    index: Index, queries: np.ndarray, excluded: np.ndarray, top_k: int, at_once: int = QUERIES_AT_ONCE
) -> np.ndarray:
    parts = [slice(low, low + at_once) for low in range(0, len(queries), at_once)]
    return np.concatenate(
        [index(tf.constant(queries[part]), tf.constant(excluded[part]), top_k)[1].numpy() for part in parts]
    )


def _recall(
    index: Index, queries: np.ndarray, excluded: np.ndarray, expected: np.ndarray, at_once: int = QUERIES_AT_ONCE
) -> float:
    found = _answers(index, queries, excluded, expected.shape[1], at_once)
    shares = [np.isin(row, others).mean() for row, others in zip(expected, found, strict=True)]
    return float(np.mean(shares))
