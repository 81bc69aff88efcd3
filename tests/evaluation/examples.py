"""Small inputs, written out."""

from collections.abc import Sequence

import numpy as np

from tfrec.datasets.dataset import EvaluationSet
from tfrec.datasets.ragged import Ragged


class Table:
    """A recommender that looks its scores up: user code u gets row u."""

    name = "table"

    def __init__(self, scores: Sequence[Sequence[float]] | np.ndarray) -> None:
        self.scores = np.asarray(scores, np.float32)

    def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        scores: np.ndarray = self.scores[users]
        return scores


def ragged(rows: Sequence[Sequence[int]]) -> Ragged:
    lengths = [len(row) for row in rows]
    return Ragged(np.array([code for row in rows for code in row], np.int32), np.cumsum([0, *lengths]))


def cases(histories: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]) -> EvaluationSet:
    """Case i is of user i."""
    return EvaluationSet(np.arange(len(targets), dtype=np.int32), ragged(histories), ragged(targets))
