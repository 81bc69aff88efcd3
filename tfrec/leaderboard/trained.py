"""Trained runs among the baselines."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from tfrec.datasets.dataset import EvaluationSet, Split
from tfrec.datasets.ragged import Ragged
from tfrec.errors import InputError
from tfrec.features.prepared import Prepared
from tfrec.models.retrieval_model import RetrievalRecommender
from tfrec.training.run import Run
from tfrec.training.trainer import load_model


class TrainedModel:
    """A run's model, which of a history sees the context that it was trained with.

    Args:
        run: Trained.
        data_root: Where its text backbone is, if it is trained.

    Attributes:
        name: The model's, and the run's folder.
        split: The run's own.
        digest: A hash of the weights.
    """

    def __init__(self, run: Run, data_root: Path) -> None:
        prepared = Prepared.load(run.prepared)
        self.name = f"{run.config.model.name} ({run.folder})"
        self.split = prepared.split
        self.digest = hashlib.sha256(run.best.read_bytes()).hexdigest() if run.best.is_file() else None
        self.recommender = RetrievalRecommender(load_model(run, prepared, data_root))

    def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        """As the model does: float32 [batch_size, num_items]."""
        context = {name: histories.context[name] for name in self.split.train.context}
        return self.recommender.score(users, replace(histories, context=context))


def with_context_of(model: TrainedModel, split: Split) -> Split:
    """The split, whose histories tell what the model reads of them, too.

    Raises:
        InputError: The model was trained on another split, or on other data.
    """
    pairs = [(split.validation, model.split.validation), (split.test, model.split.test)]
    if not _is_equal(split.train, model.split.train) or not all(_are_alike(*pair) for pair in pairs):
        raise InputError(
            f"Expected a run on the same data and split. Received: {model.name}, whose training part or cases differ. "
            "Leave the recipe out, and the data and the split are the run's."
        )
    validation, test = (
        replace(ours, histories=replace(ours.histories, context={**ours.histories.context, **theirs.histories.context}))
        for ours, theirs in pairs
    )
    return replace(split, validation=validation, test=test)


def _are_alike(first: EvaluationSet, second: EvaluationSet) -> bool:
    return (
        np.array_equal(first.users, second.users)
        and _is_equal(first.histories, second.histories)
        and _is_equal(first.targets, second.targets)
    )


def _is_equal(first: Ragged, second: Ragged) -> bool:
    return np.array_equal(first.values, second.values) and np.array_equal(first.offsets, second.offsets)
