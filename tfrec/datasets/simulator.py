"""Data with a known right answer: small enough to train on in seconds, and the best possible score is computable."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from tfrec.datasets.assemble import assemble
from tfrec.datasets.dataset import Dataset, EvaluationSet, Roles

GENRES = ("war", "love", "crime", "ghost", "space", "sea", "school", "sports", "family", "spy")

_SUBJECTS = ("a clock", "a letter", "a garden", "a train", "a violin", "a lantern", "a bakery", "a map", "a painter")
_PLACES = (
    "in Rome",
    "in winter",
    "by a river",
    "on a hill",
    "in Lima",
    "at dawn",
    "in Oslo",
    "at midnight",
    "in Cairo",
)

_YEAR = 365 * 24 * 3600


@dataclass(frozen=True)
class Simulation:
    """A data set and the truth that it was drawn from.

    Attributes:
        dataset: Items with a `title` that names their genre ("A war story about a clock in Rome"), their `genre`
            (categorical) and a `year` (numeric, noise); users with a `country` and an `age` (noise). Not every item
            need occur in the interactions. Times are spread over a year.
        user_groups: The genre that each user likes, int64 [num_users].
        item_groups: The genre of each item, int64 [num_items].
        preferences: How likely each user is to take each item next, before anything is excluded, float64
            [num_users, num_items]; rows add up to 1.
        successors: The item that follows each item in a sequence, int64 [num_items].
        follow: How likely a user is to take the successor of the item before, if it is new.
    """

    dataset: Dataset
    user_groups: np.ndarray
    item_groups: np.ndarray
    preferences: np.ndarray
    successors: np.ndarray
    follow: float

    def next_probabilities(self, cases: EvaluationSet) -> np.ndarray:
        """The true probability of each item to be taken next, float64 [num_cases, num_items]; 0 if seen already."""
        seen = np.zeros((len(cases), self.dataset.num_items), bool)
        seen[cases.histories.rows, cases.histories.values] = True
        # -1 where there is no history
        last = np.append(cases.histories.values, -1)[cases.histories.offsets[1:] - 1]
        last = np.where(cases.histories.lengths > 0, last, -1)
        return _next_probabilities(self.preferences[cases.users], seen, last, self.successors, self.follow)

    def best_recall(self, cases: EvaluationSet, k: int, candidates: np.ndarray | None = None) -> float:
        """The recall@k of ranking the candidates (None: all items) by their true probabilities. Where each case has one
        target, the next item, no model beats it but by luck."""
        probabilities = self.next_probabilities(cases)
        if candidates is not None:
            probabilities[:, np.setdiff1d(np.arange(self.dataset.num_items), candidates)] = -1
        ranking = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
        targets = np.zeros((len(cases), self.dataset.num_items), bool)
        targets[cases.targets.rows, cases.targets.values] = True
        found = np.take_along_axis(targets, ranking, axis=1).sum(axis=1)
        return float(np.mean(found / cases.targets.lengths))


def simulate(
    num_users: int = 200,
    num_items: int = 60,
    interactions_per_user: int = 12,
    *,
    num_groups: int = 4,
    loyalty: float = 0.9,
    popularity: float = 0.7,
    follow: float = 0.0,
    seed: int = 0,
) -> Simulation:
    """Draws a data set of users who mostly keep to the genre they like and never take an item twice.

    Args:
        num_users: Users, spread evenly over the genres.
        num_items: Items, spread evenly over the genres.
        interactions_per_user: At most `num_items`.
        num_groups: Genres, at most 10.
        loyalty: Probability that a user's choice is of their genre, while there is any.
        popularity: An item of rank r in its genre is chosen in proportion to r^-popularity. 0: all alike.
        follow: Probability that a user takes the successor of the item before, instead of choosing. 0: order carries
            no information. The successors make one round through each genre.
        seed: The same seed gives the same data.

    Raises:
        ValueError: More interactions than items, or a number of genres that is not from 1 to 10.

    Example:
        >>> simulation = simulate(num_users=100, seed=1)
        >>> split = split_dataset(simulation.dataset, SplitConfig())
        >>> simulation.best_recall(split.test, k=10)
        0.77
    """
    if not 1 <= num_groups <= len(GENRES):
        raise ValueError(f"Expected num_groups from 1 to {len(GENRES)}. Received: {num_groups}.")
    if interactions_per_user > num_items:
        raise ValueError(f"Expected at most {num_items=} interactions_per_user. Received: {interactions_per_user}.")
    generator = np.random.default_rng(seed)
    user_groups, item_groups = np.arange(num_users) % num_groups, np.arange(num_items) % num_groups

    attraction = (np.arange(num_items) // num_groups + 1.0) ** -popularity
    is_liked = user_groups[:, np.newaxis] == item_groups  # [num_users, num_items]
    liked, other = np.where(is_liked, attraction, 0), np.where(is_liked, 0, attraction)
    preferences = loyalty * _normalised(liked) + (1 - loyalty) * _normalised(other)
    preferences = _normalised(preferences)

    successors = np.empty(num_items, np.int64)
    for group in range(num_groups):
        members = generator.permutation(np.flatnonzero(item_groups == group))
        successors[members] = np.roll(members, -1)

    chosen = np.empty((num_users, interactions_per_user), np.int64)
    seen = np.zeros((num_users, num_items), bool)
    last = np.full(num_users, -1)
    for step in range(interactions_per_user):
        probabilities = _next_probabilities(preferences, seen, last, successors, follow)
        cumulative = probabilities.cumsum(axis=1)
        last = (cumulative <= generator.random((num_users, 1)) * cumulative[:, -1:]).sum(axis=1)
        seen[np.arange(num_users), last] = True
        chosen[:, step] = last

    times = np.sort(generator.integers(0, _YEAR, chosen.shape), axis=1)
    order = np.argsort(times.ravel(), kind="stable")
    user_ids = np.array([f"user-{user}" for user in range(num_users)])
    item_ids = np.array([f"item-{item}" for item in range(num_items)])
    interactions = pa.table(
        {
            "user_id": user_ids[np.repeat(np.arange(num_users), interactions_per_user)[order]],
            "item_id": item_ids[chosen.ravel()[order]],
            "timestamp": times.ravel()[order],
        }
    )
    genres = [GENRES[group] for group in item_groups]
    items = pd.DataFrame(
        {
            "item_id": item_ids,
            "title": [_title(genre, generator) for genre in genres],
            "genre": genres,
            "year": generator.integers(1950, 2025, num_items).astype(np.float32),
        }
    )
    users = pd.DataFrame(
        {
            "user_id": user_ids,
            "country": generator.choice(["Chile", "Ghana", "Japan", "Norway"], num_users),
            "age": generator.integers(18, 80, num_users).astype(np.float32),
        }
    )
    dataset = assemble(
        "simulation",
        interactions,
        items.astype({"item_id": "str", "title": "str", "genre": "str"}),
        users.astype({"user_id": "str", "country": "str"}),
        item_roles=Roles(text=("title",), categorical=("genre",), numeric=("year",)),
        user_roles=Roles(categorical=("country",), numeric=("age",)),
        title="title",
    )
    return Simulation(dataset, user_groups, item_groups, preferences, successors, follow)


def _next_probabilities(
    preferences: np.ndarray, seen: np.ndarray, last: np.ndarray, successors: np.ndarray, follow: float
) -> np.ndarray:
    """Float64 [num_rows, num_items], from preferences and seen [num_rows, num_items] and last items [num_rows]."""
    probabilities = _normalised(np.where(seen, 0, preferences))
    rows = np.flatnonzero(last >= 0)
    rows = rows[~seen[rows, successors[last[rows]]]]
    probabilities[rows] *= 1 - follow
    probabilities[rows, successors[last[rows]]] += follow
    return probabilities


def _normalised(weights: np.ndarray) -> np.ndarray:
    total = weights.sum(axis=1, keepdims=True)
    return np.divide(weights, total, out=np.zeros_like(weights, float), where=total > 0)


def _title(genre: str, generator: np.random.Generator) -> str:
    return f"A {genre} story about {generator.choice(_SUBJECTS)} {generator.choice(_PLACES)}"
