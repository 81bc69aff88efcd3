"""A recommender that reads the end of a history."""

import numpy as np

from tfrec.baselines.hybrids import Scorer
from tfrec.datasets.ragged import Ragged


class RecentHistory:
    """Scores by the last items of a history as another recommender does; what is before them is not read.

    A model of items by items takes all of a history for equally telling. Where tastes move on, what was done last tells
    more, and the same model becomes much stronger by reading less: Ludewig and Jannach, "Evaluation of session-based
    recommendation algorithms", UMUAI 28, 2018, section 3.

    Args:
        recommender: Fitted.
        length: So many items are read, at least 1.

    Example:
        >>> RecentHistory(EASE(split.train, 1682), 10).score(users, histories).shape
        (128, 1682)
    """

    def __init__(self, recommender: Scorer, length: int) -> None:
        self.name = getattr(recommender, "name", type(recommender).__name__)
        self.recommender = recommender
        self.length = length

    def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        """The other's: float32 [batch_size, num_items]."""
        return self.recommender.score(users, histories.last(self.length))
