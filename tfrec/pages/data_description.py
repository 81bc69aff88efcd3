"""What a run learned from, in figures."""

from collections.abc import Mapping

import numpy as np

from tfrec.baselines import InteractionMatrix
from tfrec.datasets.dataset import Split
from tfrec.datasets.impressions import PARTS, Impressions
from tfrec.datasets.ragged import Ragged
from tfrec.datasets.splits import TEST, TRAINING
from tfrec.pages.findings import DataDescription

NUM_POINTS = 100


def describe_split(split: Split, num_items: int) -> DataDescription:
    """Of a split that is learned to recommend from."""
    matrix = InteractionMatrix(split.train, num_items)
    parts = {"training": {"interactions": matrix.num_interactions, "users": int((split.train.lengths > 0).sum())}}
    for name, cases in (("validation", split.validation), ("test", split.test)):
        parts[name] = {"cases": len(cases), "targets": len(cases.targets.values)}
    if split.candidates is not None:
        parts["test"]["items that may be recommended"] = len(np.unique(split.candidates))
    return _describe(matrix, parts, split.test.histories.lengths, split.notes)


def describe_impressions(impressions: Impressions, num_users: int, num_items: int) -> DataDescription:
    """Of impressions that are learned from to predict the click."""
    parts: dict[str, dict[str, float]] = {}
    for part, name in PARTS.items():
        inside = impressions.parts == part
        parts[name] = {
            "impressions": int(inside.sum()),
            "users": len(np.unique(impressions.users[inside])),
            "rate of clicks": float(impressions.labels[inside].mean()) if inside.any() else 0.0,
        }
    trained = impressions.parts == TRAINING
    # They are ordered by user.
    lengths = np.bincount(impressions.users[trained], minlength=num_users)
    matrix = InteractionMatrix(Ragged.from_lengths(impressions.items[trained], lengths), num_items)
    shown = np.concatenate([[0], np.cumsum(impressions.remembered)])
    histories = (shown[impressions.past] - shown[impressions.first])[impressions.parts == TEST]
    return _describe(matrix, parts, histories, ())


def _describe(
    matrix: InteractionMatrix, parts: Mapping[str, Mapping[str, float]], lengths: np.ndarray, notes: tuple[str, ...]
) -> DataDescription:
    return DataDescription(parts, matrix.describe(), lorenz(matrix.per_item), doublings(lengths), notes)


def lorenz(counts: np.ndarray) -> tuple[tuple[float, float], ...]:
    """Points of the Lorenz curve (Lorenz 1905): the share of the items, least popular first, and what they have of all
    interactions; a hundred of them, and (0, 0)."""
    shares = np.concatenate([[0.0], np.cumsum(np.sort(counts), dtype=np.float64)])
    places = np.unique(np.linspace(0, len(counts), min(len(counts), NUM_POINTS) + 1).round().astype(int))
    total = shares[-1] or 1.0
    return tuple(
        (round(float(place / max(len(counts), 1)), 5), round(float(shares[place] / total), 5)) for place in places
    )


def doublings(lengths: np.ndarray) -> tuple[tuple[str, int], ...]:
    """How many are 0, 1, 2-3, 4-7, 8-15 and so on, from the first to the last that occurs."""
    bins = np.where(lengths > 0, np.log2(np.maximum(lengths, 1)).astype(int) + 1, 0)
    counts = np.bincount(bins)
    first = int(np.flatnonzero(counts)[0]) if len(lengths) else 0
    return tuple((_range(number), int(counts[number])) for number in range(first, len(counts)))


def _range(number: int) -> str:
    if number < 2:
        return str(number)
    return f"{2 ** (number - 1):,}-{2**number - 1:,}"
