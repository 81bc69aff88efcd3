"""Users who walk around a ring of items: whether they take a small or a large step, only the context can tell."""

from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from tfrec.datasets.assemble import assemble
from tfrec.datasets.dataset import Dataset

NUM_ITEMS, LENGTH, STEPS = 40, 8, (1, 5)


def diary(signal: Literal["event", "gap"], num_users: int = 400, seed: int = 0) -> Dataset:
    """After a view, or soon after the one before, the next item is 1 further on; after a purchase, or long after, 5.

    The other of event and gap says nothing. Some events are missing; a user never meets an item twice.
    """
    generator = np.random.default_rng(seed)
    is_large, other = generator.integers(0, 2, (2, num_users, LENGTH)).astype(bool)
    steps = np.where(is_large[:, :-1], STEPS[1], STEPS[0])
    starts = generator.integers(0, NUM_ITEMS, (num_users, 1))
    items = (starts + np.pad(np.cumsum(steps, axis=1), [(0, 0), (1, 0)])) % NUM_ITEMS
    is_purchase, is_late = (is_large, other) if signal == "event" else (other, is_large)
    gaps = np.where(is_late, 86_400, 60) + generator.integers(0, 20, is_late.shape)
    events = np.where(is_purchase, "purchase", "view").astype(object)
    events[generator.random(events.shape) < 0.02] = None
    interactions = pa.table(
        {
            "user_id": np.repeat([f"u{user}" for user in range(num_users)], LENGTH),
            "item_id": [f"i{item}" for item in items.ravel()],
            "timestamp": 1_700_000_000 + np.cumsum(gaps, axis=1).ravel(),
            "event": pa.array(events.ravel()).dictionary_encode(),
        }
    )
    catalogue = pd.DataFrame({"item_id": [f"i{item}" for item in range(NUM_ITEMS)]}, dtype="str")
    return assemble("diary", interactions, catalogue)
