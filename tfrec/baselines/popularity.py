"""The same items for everyone: those with the most interactions."""

import numpy as np

from tfrec.datasets.ragged import Ragged


class Popularity:
    """Scores an item by its number of training interactions, over all time.

    Args:
        train: Each user's training interactions, a row a user.
        num_items: Size of the catalogue.

    Example:
        >>> Popularity(Ragged(np.array([0, 2, 2]), np.array([0, 2, 3])), num_items=3).counts
        array([1., 0., 2.], dtype=float32)
    """

    name = "popularity"

    def __init__(self, train: Ragged, num_items: int) -> None:
        self.counts = np.bincount(train.values, minlength=num_items).astype(np.float32)

    def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        """The counts, for every user alike: a read-only view, float32 [batch_size, num_items]."""
        return np.broadcast_to(self.counts, (len(users), len(self.counts)))
