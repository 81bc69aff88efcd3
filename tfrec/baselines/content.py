"""The items whose texts say what the history's texts say: no training at all."""

from typing import Literal

import numpy as np

from tfrec.datasets.dataset import Ragged


class ContentSimilarity:
    """Scores an item by the cosine of its text vector with those of the history.

    An item needs no interactions for it, only a text: what a trained model must beat on new items.

    Args:
        vectors: The items' text vectors, float32 [num_items, size]; scaled to length 1 here, zeros stay zeros.
        pooling: "mean": the cosine with the mean of the history's vectors (Lops, de Gemmis and Semeraro 2011,
            "Content-based recommender systems: state of the art and trends", section 3.3.1). "max": the highest cosine
            with any item of the history, its nearest neighbour.

    Example:
        >>> ContentSimilarity(prepared.items.arrays["text"][NUM_SPECIAL:]).score(users, histories).shape
        (128, 1682)
    """

    def __init__(self, vectors: np.ndarray, pooling: Literal["mean", "max"] = "mean") -> None:
        self.name = "content_similarity" if pooling == "mean" else "content_neighbours"
        self.vectors = _scaled_to_unit(np.asarray(vectors, np.float32))
        self.pooling = pooling

    def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        """Cosines, -1 to 1; zeros for an empty history and for what has no text: float32 [batch_size, num_items]."""
        scores = np.zeros((len(histories), len(self.vectors)), np.float32)
        rows = np.flatnonzero(histories.lengths)
        if not len(rows):
            return scores
        starts = histories.offsets[rows]
        if self.pooling == "mean":
            # The rows between two starts are one history: the empty ones have none.
            sums = np.add.reduceat(self.vectors[histories.values], starts, axis=0)
            scores[rows] = _scaled_to_unit(sums) @ self.vectors.T
            return scores
        distinct, places = np.unique(histories.values, return_inverse=True)
        cosines = self.vectors[distinct] @ self.vectors.T  # [num_distinct, num_items]
        for row, start, length in zip(rows, starts, histories.lengths[rows], strict=True):
            scores[row] = cosines[places[start : start + length]].max(axis=0)
        return scores


def _scaled_to_unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
