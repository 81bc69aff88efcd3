"""The items whose texts say what the history's texts say: no training at all."""

from typing import Literal

import numpy as np

from tfrec.datasets.ragged import Ragged


class ContentSimilarity:
    """Scores an item by the cosine of its text vector with those of the history.

    An item needs no interactions for it, only a text: what a trained model must beat on new items.

    Args:
        vectors: The items' text vectors, float32 [num_items, size]; scaled to length 1 here, zeros stay zeros.
        pooling: "mean": the cosine with the mean of the history's vectors. "max": the highest cosine with any item of
            the history, its nearest neighbour; often better, and as many times the work as the
            history is long.

    Example:
        >>> ContentSimilarity(prepared.items.arrays["text"][NUM_SPECIAL:]).score(users, histories).shape
        (128, 1682)
    """

    def __init__(self, vectors: np.ndarray, pooling: Literal["mean", "max"] = "mean") -> None:
        self.name = "similar_texts" if pooling == "mean" else "nearest_texts"
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
        for row in rows.tolist():  # One by one: the cosines of all histories' items would not fit a large catalogue.
            scores[row] = (self.vectors[np.unique(histories[row])] @ self.vectors.T).max(axis=0)
        return scores


def _scaled_to_unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
