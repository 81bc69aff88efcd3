"""Where only what was done is known, what was not: items drawn at random."""

from dataclasses import replace

import numpy as np
import pandas as pd

from tfrec.datasets.dataset import Dataset

TRIES = 10


def draw_negatives(dataset: Dataset, number: int, seed: int = 0) -> Dataset:
    """The same, and beside each interaction so many with the label 0: with items that the user did not take then.

    All items are equally likely but those that the user took at the same time; those of other times are not, since they
    tell a model whom it has to do with. User, time and context are those of the interaction, outcomes are 0. Where a
    user took nearly everything at once, some are missing.

    Args:
        dataset: Its interactions count as liked, if they have no label.
        number: For each interaction with a label above 0.
        seed: The same seed draws the same items.
    """
    rows = dataset.interactions
    rows = rows if "label" in rows else rows.assign(label=np.float32(1))
    liked = np.flatnonzero(rows["label"].to_numpy() > 0)
    # A basket: what a user took at one time.
    baskets = pd.MultiIndex.from_arrays([dataset.user_codes, rows["timestamp"].to_numpy()]).factorize()[0]
    taken = np.unique(baskets[liked].astype(np.int64) * dataset.num_items + dataset.item_codes[liked])
    owners = np.repeat(liked, number)
    generator = np.random.default_rng(seed)
    drawn = np.full(len(owners), -1)
    for _ in range(TRIES):
        [open_places] = np.nonzero(drawn < 0)
        items = generator.integers(dataset.num_items, size=len(open_places))
        is_free = ~np.isin(baskets[owners[open_places]].astype(np.int64) * dataset.num_items + items, taken)
        drawn[open_places[is_free]] = items[is_free]
    owners, drawn = owners[drawn >= 0], drawn[drawn >= 0]
    negatives = rows.iloc[owners].assign(
        item_id=pd.Categorical.from_codes(drawn, rows["item_id"].cat.categories),
        label=np.float32(0),
        **dict.fromkeys(dataset.outcomes, np.float32(0)),
    )
    together = pd.concat([rows, negatives], ignore_index=True)
    # Each beside its own.
    order = np.argsort(np.concatenate([np.arange(len(rows)), owners]), kind="stable")
    note = f"{len(drawn):,} impressions with label 0 are drawn at random: probabilities are those of such a mixture."
    return replace(dataset, interactions=together.iloc[order].reset_index(drop=True), notes=(*dataset.notes, note))
