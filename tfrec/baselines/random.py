"""A random order: the floor of every metric."""

import numpy as np

from tfrec.datasets.ragged import Ragged


class Random:
    """Scores an item by a hash of the seed, the user and the item.

    A user's scores do not depend on who else is in the batch. The hash is SplitMix64 (Steele, Lea and Flood, "Fast
    Splittable Pseudorandom Number Generators", OOPSLA 2014).

    Args:
        train: Not looked at: here so that all baselines are built alike.
        num_items: Size of the catalogue.
        seed: Another seed, another order.

    Example:
        >>> random = Random(train, num_items=1682, seed=1)
        >>> random.score(users, histories).shape
        (128, 1682)
    """

    name = "random"

    def __init__(self, train: Ragged, num_items: int, seed: int = 0) -> None:
        self.num_items = num_items
        self.seed = seed

    def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        """Uniform in [0, 1), float32 [batch_size, num_items]."""
        start = _mix(np.array([self.seed], np.uint64)) + users.astype(np.uint64) * np.uint64(self.num_items)
        # [batch_size, 1] + [num_items] -> [batch_size, num_items]
        bits = _mix(start[:, None] + np.arange(self.num_items, dtype=np.uint64))
        # The upper 24 bits, as many as a float32 holds.
        return (bits >> np.uint64(40)).astype(np.float32) / np.float32(2**24)


def _mix(state: np.ndarray) -> np.ndarray:
    state = state * np.uint64(0x9E3779B97F4A7C15)
    state ^= state >> np.uint64(30)
    state *= np.uint64(0xBF58476D1CE4E5B9)
    state ^= state >> np.uint64(27)
    state *= np.uint64(0x94D049BB133111EB)
    state ^= state >> np.uint64(31)
    return state
