"""The same items for everyone: those that were done lately."""

import numpy as np

from tfrec.datasets.ragged import Ragged
from tfrec.errors import InputError


class RecentPopularity:
    """Scores an item by its training interactions, each worth half as much for every half-life that it is old.

    `score(i) = sum over the interactions with i at t of 2^(-(last - t) / (half_life (last - first)))`; first and last
    are the earliest and the latest moment of training, so that any clock does that all users share.

    Args:
        train: Each user's training interactions, a row a user, with the context `timestamp`.
        num_items: Size of the catalogue.
        half_life: As a share of the time that training spans.

    Raises:
        InputError: There are no time stamps.

    Example:
        >>> RecentPopularity(split.train, 1682, half_life=0.05).score(users, histories).shape
        (128, 1682)
    """

    name = "recent_popularity"

    def __init__(self, train: Ragged, num_items: int, half_life: float = 0.1) -> None:
        if "timestamp" not in train.context:
            raise InputError(
                "Expected training interactions with the context 'timestamp', for what is popular of late. Received: "
                f"{sorted(train.context)}. Give split_dataset the time stamps as context."
            )
        times = train.context["timestamp"].astype(np.float64)
        span = np.ptp(times) if len(times) else 0.0
        ages = (times.max(initial=-np.inf) - times) / span if span else np.zeros(len(times))
        weights = np.exp2(-ages / half_life)
        self.popularity = np.bincount(train.values, weights, minlength=num_items).astype(np.float32)

    def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        """The same for every user: a read-only view, float32 [batch_size, num_items]."""
        return np.broadcast_to(self.popularity, (len(users), len(self.popularity)))
