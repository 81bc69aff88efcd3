"""Lists that were made elsewhere, held to the same evaluation."""

import numpy as np

from tfrec.datasets.ragged import Ragged
from tfrec.errors import InputError


class RecordedLists:
    """What another system recommended, as a recommender: what is on a user's list scores as recorded, all else -∞.

    Lists are to be as long as the largest cutoff: coverage takes the places that a shorter one leaves empty for filled,
    with the lowest codes.

    Args:
        name: What reports call it.
        users: User codes, int [num_lists], each once.
        items: Item codes, best first, int [num_lists, length]; -1 where there are fewer.
        scores: Of these, float [num_lists, length], none higher than the one before it. Ties count against the
            recommender, as they always do.
        num_items: Size of the catalogue.

    Raises:
        InputError: The shapes do not fit each other; a user has two lists; a list holds an item twice, or one that is
            not of the catalogue; or scores are NaN, or rise.

    Example:
        >>> lists = RecordedLists("theirs", users, items, scores, dataset.num_items)
        >>> evaluate(lists, split.test, dataset.num_items, EvaluationConfig()).metrics["ndcg@10"]
    """

    def __init__(self, name: str, users: np.ndarray, items: np.ndarray, scores: np.ndarray, num_items: int) -> None:
        if items.ndim != 2 or items.shape != scores.shape or users.shape != items.shape[:1]:
            raise InputError(
                "Expected users [num_lists], and items and scores [num_lists, length]. Received: shapes "
                f"{users.shape}, {items.shape} and {scores.shape}."
            )
        if len(np.unique(users)) != len(users):
            raise InputError(f"Expected one list a user from '{name}'. Received: two for some. Keep the one to test.")
        is_listed = items >= 0
        wrong = (items < -1) | (items >= num_items)
        if wrong.any():
            raise InputError(
                f"Expected item codes from 0 to {num_items - 1}, or -1 for none, from '{name}'. Received: "
                f"{items[wrong][0]}. Map its ids to the rows of the items."
            )
        rows = np.repeat(np.arange(len(items), dtype=np.int64), is_listed.sum(axis=1))
        pairs = np.sort(rows * num_items + items[is_listed])
        if (pairs[1:] == pairs[:-1]).any():
            raise InputError(f"Expected lists of different items from '{name}'. Received: an item twice.")
        listed = np.where(is_listed, scores, -np.inf)
        if not (listed[:, 1:] <= listed[:, :-1]).all() or np.isnan(listed).any():
            raise InputError(
                f"Expected scores that fall along each list from '{name}', best first and -1 last. Received: others."
            )
        self.name = name
        self.num_items = num_items
        self._items, self._scores = items, listed.astype(np.float32)
        self._row_of = np.full(users.max(initial=-1) + 1, -1)
        self._row_of[users] = np.arange(len(users))

    def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        """As recorded: float32 [batch_size, num_items].

        Raises:
            InputError: A user has no list, or one with an item of the user's own history, which would have taken the
                place of another.
        """
        rows = np.full(len(users), -1)
        known = users < len(self._row_of)
        rows[known] = self._row_of[users[known]]
        if (rows < 0).any():
            raise InputError(
                f"Expected a list for every user from '{self.name}'. Received: none for user code "
                f"{users[rows < 0][0]}. One of -1 alone says that nothing was recommended."
            )
        # One column more, the last, for the places that are empty.
        scores = np.full((len(users), self.num_items + 1), -np.inf, np.float32)
        np.put_along_axis(scores, self._items[rows], self._scores[rows], axis=1)
        seen = np.isfinite(scores[histories.rows, histories.values])
        if seen.any():
            raise InputError(
                f"Expected lists without what their users did before from '{self.name}'. Received: item code "
                f"{histories.values[seen][0]} for user code {users[histories.rows[seen][0]]}. Leave such items out "
                "before the lists are cut."
            )
        return scores[:, : self.num_items]
