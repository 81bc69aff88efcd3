"""Files → `Dataset` → `Split`."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from tfrec import console
from tfrec.config import Config, DataConfig
from tfrec.config.models import MULTI_TASK_NAMES
from tfrec.datasets.ads import load_avazu, load_criteo
from tfrec.datasets.dataset import Dataset, EvaluationSet, Roles, Split
from tfrec.datasets.history_context import history_context
from tfrec.datasets.impressions import Impressions, check_labels, check_outcomes, check_values, split_impressions
from tfrec.datasets.movielens import load_movielens
from tfrec.datasets.negatives import draw_negatives
from tfrec.datasets.online_retail import load_online_retail
from tfrec.datasets.open_bandit import load_open_bandit
from tfrec.datasets.ragged import Ragged
from tfrec.datasets.shards import reckoned_rows
from tfrec.datasets.splits import split_dataset
from tfrec.datasets.tables import load_tables, load_tables_by_parts
from tfrec.errors import InputError

__all__ = [
    "Dataset",
    "EvaluationSet",
    "Impressions",
    "Ragged",
    "Roles",
    "Split",
    "history_context",
    "load_dataset",
    "load_impressions",
    "load_positives",
    "split_dataset",
    "split_impressions",
]


LOADERS = {
    "criteo": load_criteo,
    "avazu": load_avazu,
    "online-retail": load_online_retail,
    "open-bandit": load_open_bandit,
}


def load_dataset(config: DataConfig, data_root: Path) -> Dataset:
    """Loads and validates what `config` describes: all interactions, liked or not. `Dataset.positives` picks those
    that a recommender learns to recommend.

    Args:
        config: A known data set, or the user's own tables.
        data_root: Where known data sets are looked for, and downloaded to.

    Raises:
        InputError: Something is missing or not valid; the message names file, column and row, and the remedy.
    """
    if config.source == "tables":
        dataset = load_tables(config.located(data_root))
        pa.default_memory_pool().release_unused()  # else what the tables took would stay taken
    elif config.source in LOADERS:
        dataset = LOADERS[config.source](data_root)
    else:
        dataset = load_movielens(config.source, data_root)
    if config.negatives and "label" not in dataset.interactions and config.label_threshold is None:
        dataset = replace(dataset, interactions=dataset.interactions.assign(label=np.float32(1)))
    return dataset if config.label_threshold is None else dataset.labelled(config.label_threshold)


def load_positives(config: Config, data_root: Path, folder: Path) -> Dataset:
    """What a recommender learns from: `Dataset.positives` of the data. Tables in files that hold more interactions than
    `features.interactions_at_once` together are read file by file, and lie in `folder`, an empty one.

    Raises:
        InputError: As `load_dataset`; or there is no room on the disk.
    """
    data = config.data.located(data_root)
    if data.interactions is not None and len(data.interactions.files) > 1:
        rows = reckoned_rows(data.interactions)
        if rows > config.features.interactions_at_once:
            _require_room(rows, folder)
            console.say(f"{data.interactions.title}: some {rows:,} rows, to be read file by file")
            return load_tables_by_parts(data, config.features.interactions_at_once, folder)
    return load_dataset(config.data, data_root).positives(config.data.events)


_BYTES_OF_A_ROW = 64
"""On the disk while files are read and divided: the log, what it is made of, and the division."""


def _require_room(rows: int, folder: Path) -> None:
    wanted, room = rows * _BYTES_OF_A_ROW, shutil.disk_usage(folder).free
    if room < wanted:
        raise InputError(
            f"Expected {wanted / 1e9:,.0f} GB of room in {folder.parent}, to read some {rows:,} rows. Received: "
            f"{room / 1e9:,.0f} GB. Make room, or put the run elsewhere with --run."
        )


def load_impressions(dataset: Dataset, config: Config) -> Impressions:
    """The interactions as examples of a model that predicts the click: divided, with what is drawn beside them.

    Raises:
        InputError: There is nothing to learn or to test, or nothing of an outcome that the model predicts.
    """
    impressions = split_impressions(dataset, config.split)
    if config.data.negatives:
        impressions = draw_negatives(impressions, dataset, config.data.negatives)
    check_labels(impressions, config.split)
    if config.model.name in MULTI_TASK_NAMES:
        check_outcomes(impressions, dataset.outcomes, config.model.name)
    if config.model.name == "youtube_ranker":
        check_values(impressions)
        ignored = (dataset.interactions["label"] == 0) & (dataset.interactions["value"].fillna(0) != 0)
        if ignored.any():
            console.say(
                f"note: {ignored.sum():,} interactions with the label 0 have a value: they count as worth nothing"
            )
    return impressions
