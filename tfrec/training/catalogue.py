"""Another catalogue for a model that is trained."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from tfrec import console
from tfrec.config import Config, DataConfig
from tfrec.datasets import load_dataset
from tfrec.datasets.dataset import EvaluationSet, Roles, Split
from tfrec.datasets.ragged import Ragged
from tfrec.datasets.tables import load_items
from tfrec.errors import InputError
from tfrec.features.prepared import Prepared
from tfrec.features.table import FeatureTable, encode_columns
from tfrec.features.text import render_texts
from tfrec.features.vocabulary import NUM_SPECIAL, UNKNOWN
from tfrec.training.prepare import encode_texts, titles_of


class Catalogue(NamedTuple):
    """The items table, and which of its columns are what."""

    table: pd.DataFrame
    roles: Roles

    def without(self, ids: Collection[str]) -> "Catalogue":
        """The same without some items. What it does not have is told, for it may be misspelt.

        Raises:
            InputError: Nothing is left.
        """
        is_blocked = self.table["item_id"].isin(list(ids))
        if is_blocked.all():
            raise InputError(f"Expected items that are not blocked. Received: a block of all {len(self.table):,}.")
        if unknown := sorted(set(ids).difference(self.table["item_id"])):
            console.say(f"note: {len(unknown):,} of the blocked items are not in the catalogue: {unknown[:5]}")
        return self._replace(table=self.table[~is_blocked].reset_index(drop=True))


def read_catalogue(config: DataConfig, data_root: Path, items: Path | None = None) -> Catalogue:
    """The items of a run's data, or another table of that form.

    Raises:
        InputError: There is none, or it is not as it should be.
    """
    if items is None and (config.source != "tables" or config.items is None):
        dataset = load_dataset(config, data_root)
        return Catalogue(dataset.items, dataset.item_roles)
    config = config.located(data_root) if config.source == "tables" else config
    if items is not None and config.items is not None:
        config = config.model_copy(update={"items": config.items.model_copy(update={"path": items})})
    table, roles, notes = load_items(config)
    for note in notes:
        console.say(f"note: {note}")
    return Catalogue(table, roles)


def renew_catalogue(prepared: Prepared, catalogue: Catalogue, config: Config, data_root: Path) -> Prepared:
    """The same data with the items of another table: new ones are added, changed ones encoded anew.

    Items that the table lacks are no longer recommended. They stay known, so that histories are read as before.

    Args:
        prepared: What the run was trained on.
        catalogue: As it is now.
        config: The run's configuration.
        data_root: Where backbones and the vectors of texts are kept.

    Returns:
        First the items of the table, those of training in their old order and then the new ones; then those that it
        lacks. Encodings of attributes are those of training. New items have the unknown id, and no interactions.

    Raises:
        InputError: The table lacks a column that the model reads; or the backbone can't be had, or is not the run's.
    """
    table, roles = catalogue
    _require_columns(prepared, roles)
    known = {id: row for row, id in enumerate(prepared.items.ids)}
    old = np.array([known.get(id, -1) for id in table["item_id"]], np.int64)  # The row in training; -1: it is new.
    order = np.lexsort((np.arange(len(old)), np.where(old < 0, len(known), old)))
    table, old = table.iloc[order].reset_index(drop=True), old[order]
    is_gone = np.ones(len(known), bool)
    is_gone[old[old >= 0]] = False
    [gone] = np.nonzero(is_gone)
    arrays = _arrays(prepared, table, roles, old, config, data_root)
    # Behind what the table says: the rows of training of what it lacks.
    for name, array in arrays.items():
        before = prepared.items.arrays[name]
        arrays[name] = _below(array, before[NUM_SPECIAL + gone], before[1:2] if name == "text_tokens" else None)
    rows = np.concatenate([old, gone])
    places = np.empty(len(known), np.int32)
    places[rows[rows >= 0]] = np.flatnonzero(rows >= 0)
    console.say(
        f"catalogue: {len(table):,} items, {np.count_nonzero(old < 0):,} of them new; {len(gone):,} are no longer there"
    )
    ids = np.concatenate([table["item_id"].to_numpy(object), prepared.items.ids[gone]])
    return replace(
        prepared,
        items=FeatureTable(ids, prepared.items.columns, arrays),
        titles=np.concatenate([titles_of(table, roles, config.data.title), prepared.titles[gone]]),
        counts=np.where(rows >= 0, prepared.counts[rows], 0),
        split=_moved(prepared.split, places),
        num_ids=prepared.items.num_rows,
        num_on_sale=len(table),
    )


def _require_columns(prepared: Prepared, roles: Roles) -> None:
    missing = [column.name for column in prepared.items.columns if column.name not in roles.columns]
    if missing:
        raise InputError(
            f"Expected the columns that the model was trained with in the new items table. Received: a table "
            f"without {missing}. Add them, or train anew without."
        )


def _arrays(
    prepared: Prepared, table: pd.DataFrame, roles: Roles, old: np.ndarray, config: Config, data_root: Path
) -> dict[str, np.ndarray]:
    """What the item tower reads of the items of the table."""
    arrays = encode_columns(table, prepared.items.columns)
    if "id" in prepared.items.arrays:
        of_training = prepared.items.arrays["id"]
        arrays["id"] = np.concatenate(
            [of_training[:NUM_SPECIAL], np.where(old >= 0, of_training[NUM_SPECIAL + old], UNKNOWN)]
        )
    if config.model.use_text or config.reads_words:
        texts = render_texts(table, roles.text, config.features.text_template)
        of_texts, key = encode_texts(texts, config, data_root)
        if key != prepared.text_encoder_key:
            raise InputError(
                f"Expected the text backbone that the run was trained with, {prepared.text_encoder_key}. "
                f"Received: {key}. Bring that one back."
            )
        arrays |= of_texts
    return arrays


def _below(upper: np.ndarray, lower: np.ndarray, filler: np.ndarray | None) -> np.ndarray:
    """One below the other; tokens are padded to the longer texts of the two."""
    if filler is None:
        return np.concatenate([upper, lower])
    width, padding = max(upper.shape[1], lower.shape[1]), filler.flat[0]
    return np.concatenate(
        [np.pad(each, [(0, 0), (0, width - each.shape[1])], constant_values=padding) for each in (upper, lower)]
    )


def _moved(split: Split, places: np.ndarray) -> Split:
    """The same interactions, whose items have other places."""

    def moved(rows: Ragged) -> Ragged:
        return replace(rows, values=places[rows.values])

    def cases(each: EvaluationSet) -> EvaluationSet:
        return replace(each, histories=moved(each.histories), targets=moved(each.targets))

    return replace(
        split,
        train=moved(split.train),
        validation=cases(split.validation),
        test=cases(split.test),
        candidates=None if split.candidates is None else np.sort(places[split.candidates]),
    )
