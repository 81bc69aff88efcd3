"""The items that are most like each."""

import numpy as np

from tfrec.baselines.interaction_matrix import InteractionMatrix
from tfrec.baselines.neighbours import ROWS_AT_ONCE, most_alike
from tfrec.datasets.ragged import Ragged


def similar_items(train: Ragged, num_items: int, count: int, vectors: np.ndarray | None = None) -> np.ndarray:
    """For each item the most similar others, the most similar first; only those that training has seen.

    Args:
        train: Each user's training interactions, a row a user.
        num_items: Size of the catalogue.
        count: How many at most.
        vectors: Of the items, float [num_items, size], whose cosine says how similar two are. None: the cosine of who
            did something with them; an item that shares nobody with another has none.

    Returns:
        Item codes, int32 [num_items, count]; -1 where there are no more.
    """
    if vectors is None:
        alike = most_alike(InteractionMatrix(train, num_items).binary.T.tocsr(), count, shrinkage=0.0)
        similar = np.full((num_items, count), -1, np.int32)
        rows = np.repeat(np.arange(num_items), np.diff(alike.indptr))
        order = np.lexsort((alike.indices, -alike.data, rows))
        similar[rows, np.arange(len(rows)) - alike.indptr[rows]] = alike.indices[order]
        return similar
    [seen] = np.nonzero(np.bincount(train.values, minlength=num_items))
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = np.divide(vectors, lengths, out=np.zeros(vectors.shape, np.float32), where=lengths > 0)
    candidates = units[seen].T
    parts = []
    for start in range(0, num_items, ROWS_AT_ONCE):
        cosines = units[start : start + ROWS_AT_ONCE] @ candidates  # [rows, num_seen]
        rows = np.arange(start, start + len(cosines))
        itself = rows[:, None] == seen
        cosines[itself] = -np.inf
        nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
        found = np.where(np.take_along_axis(cosines, nearest, axis=1) > 0, seen[nearest], -1)
        parts.append(np.pad(found, [(0, 0), (0, count - found.shape[1])], constant_values=-1))
    return np.concatenate(parts).astype(np.int32)
