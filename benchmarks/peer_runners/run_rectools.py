"""RecTools: SASRec with a full softmax, its default loss, on PyTorch."""

import logging
import random
import warnings

import numpy as np
import pandas as pd
import torch
from exchange import TOP_K, Cases, Lists, Split, Task, by_epochs
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel


def main() -> None:
    for name in ("lightning.pytorch", "pytorch_lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    task = Task.of_command_line()
    split, settings = Split.load(task.folder), dict(task.settings)
    epochs, patience = settings.pop("epochs"), settings.pop("patience")
    random.seed(task.seed)
    np.random.seed(task.seed)
    torch.manual_seed(task.seed)
    model = SASRecModel(loss="softmax", deterministic=True, **settings)
    train = _dataset(split.train)
    asked = {id(cases): _dataset(cases) for cases in (split.validation, split.test)}

    def recommend(cases: Cases) -> Lists:
        told = model.recommend(
            cases.users, asked[id(cases)], k=TOP_K, filter_viewed=True, on_unsupported_targets="ignore"
        )
        row_of = np.full(cases.users.max() + 1, -1)
        row_of[cases.users] = np.arange(len(cases.users))
        places = row_of[told[Columns.User].to_numpy()], told[Columns.Rank].to_numpy() - 1
        items = np.full((len(cases.users), TOP_K), -1, np.int32)
        scores = np.full(items.shape, -np.inf, np.float32)
        items[places], scores[places] = told[Columns.Item].to_numpy(), told[Columns.Score].to_numpy()
        return items, scores

    arrays, took, facts = by_epochs(
        lambda: model.fit_partial(train, min_epochs=1, max_epochs=1), recommend, split, task.minutes, epochs, patience
    )
    task.finish(arrays, took, **facts)


def _dataset(cases: Cases) -> Dataset:
    """Places in the history stand for times, so that the order is the split's."""
    places = np.arange(len(cases.values)) - np.repeat(cases.offsets[:-1], np.diff(cases.offsets))
    table = pd.DataFrame(
        {
            Columns.User: cases.users[cases.rows],
            Columns.Item: cases.values,
            Columns.Weight: 1.0,
            Columns.Datetime: pd.Timestamp(2000, 1, 1) + pd.to_timedelta(places, unit="min"),
        }
    )
    return Dataset.construct(table)


if __name__ == "__main__":
    main()
