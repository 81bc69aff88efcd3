"""For whom, and for which items, a recommender is good: groups of the same cases' targets."""

import itertools

import numpy as np

from tfrec.datasets.ragged import Ragged
from tfrec.evaluation.background import Background

HEAD, MID = 0.5, 0.9
LENGTHS = (1, 10, 50, 200)


def cohorts(users: np.ndarray, histories: Ragged, targets: Ragged, background: Background) -> dict[str, np.ndarray]:
    """The targets of each group that has any, bool [total targets] each.

    - `history a-b`: of cases with so many interactions in their history.
    - `users new` and `users known`: of users without and with training interactions.
    - `items head`, `mid` and `tail`: most popular first, the head are the items until half of the training
      interactions is reached, the mid until .9, the tail the others; `items new` have none.

    Args:
        users: User codes of the cases, int [num_cases].
        histories: Of the cases.
        targets: Of the cases.
        background: What training knew.
    """
    lengths = histories.lengths[targets.rows]
    is_new_user = background.trained[users][targets.rows] == 0
    band = popularity_bands(background.counts)[targets.values]
    ends = (*(f"{low}-{high - 1}" for low, high in itertools.pairwise(LENGTHS)), f"{LENGTHS[-1]}+")
    of_length = np.searchsorted(LENGTHS, lengths, side="right")
    groups = {f"history {name}": of_length == place for place, name in enumerate(("0", *ends))}
    groups |= {"users new": is_new_user, "users known": ~is_new_user}
    groups |= {f"items {name}": band == number for number, name in enumerate(("head", "mid", "tail", "new"))}
    return {name: group for name, group in groups.items() if group.any()}


def popularity_bands(counts: np.ndarray) -> np.ndarray:
    """The band of each item, 0 to 3: head, mid, tail, new; int64 [num_items].

    An item is in a band if those that are more popular have not reached the band's end.
    """
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    bands = np.empty(len(counts), np.int64)
    bands[order] = np.searchsorted([HEAD * counts.sum(), MID * counts.sum()], before, side="right")
    bands[counts == 0] = 3
    return bands
