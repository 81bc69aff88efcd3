"""Where only what was done is known, what was not: items drawn at random."""

from dataclasses import fields, replace

import numpy as np

from tfrec.datasets.dataset import Dataset
from tfrec.datasets.impressions import Impressions
from tfrec.datasets.splits import TRAINING

TRIES = 10


def draw_negatives(impressions: Impressions, dataset: Dataset, number: int, seed: int = 0) -> Impressions:
    """The same, and behind each liked impression so many with the label 0: with items that the user did not take then.

    They are of the same user, moment, context and part, have no outcomes or value, and are in no history. All items are
    equally likely that somebody had taken by then (where users' times can't be compared, that occur in training), but
    those that the user took at the same time; those of other times are not left out, since they tell a model whom it
    has to do with. Where a user took nearly everything at once, some are missing.

    Args:
        impressions: Divided already.
        dataset: What they are of.
        number: For each liked impression.
        seed: The same seed draws the same items.
    """
    liked = np.flatnonzero(impressions.labels > 0)
    owners = np.repeat(liked, number)
    order, counts = _on_sale(impressions, dataset, liked)
    # What a user took at one moment has the same past.
    taken = np.unique(impressions.past[liked] * dataset.num_items + impressions.items[liked])
    generator = np.random.default_rng(seed)
    drawn = np.full(len(owners), -1)
    for _ in range(TRIES):
        [left] = np.nonzero(drawn < 0)
        items = order[(generator.random(len(left)) * counts[owners[left]]).astype(np.int64)]
        is_free = ~np.isin(impressions.past[owners[left]] * dataset.num_items + items, taken)
        drawn[left[is_free]] = items[is_free]
    owners, drawn = owners[drawn >= 0], drawn[drawn >= 0]
    # Rows of both, each drawn one behind its own.
    sources = np.concatenate([np.arange(len(impressions)), owners])
    places = np.argsort(sources, kind="stable")
    sources, is_drawn = sources[places], places >= len(impressions)
    columns = {field.name: getattr(impressions, field.name)[sources] for field in fields(Impressions)}
    together = Impressions(**columns)
    items, labels, outcomes = together.items, together.labels, together.outcomes
    items[is_drawn] = drawn[places[is_drawn] - len(impressions)]
    labels[is_drawn] = 0
    outcomes[is_drawn] = 0
    together.values[is_drawn] = 0
    return replace(
        together,
        past=np.flatnonzero(~is_drawn)[together.past],
        remembered=together.remembered & ~is_drawn,
    )


def _on_sale(impressions: Impressions, dataset: Dataset, liked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The items, by when they were first taken, and how many of them may be drawn beside each impression."""
    if not dataset.shared_clock:
        trained = liked[impressions.parts[liked] == TRAINING]
        order = np.unique(impressions.items[trained])
        return order, np.full(len(impressions), len(order))
    times = dataset.interactions["timestamp"].to_numpy()[impressions.rows]
    by_time = liked[np.argsort(times[liked], kind="stable")]
    order, first = np.unique(impressions.items[by_time], return_index=True)
    since = times[by_time[first]]
    return order[np.argsort(since, kind="stable")], np.searchsorted(np.sort(since), times, side="right")
