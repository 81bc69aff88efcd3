"""What users were shown, and whether they liked it: examples of models that predict the click."""

from dataclasses import dataclass, replace

import numpy as np

from tfrec.config import SplitConfig
from tfrec.datasets.dataset import Dataset
from tfrec.datasets.splits import TEST, TRAINING, VALIDATION, divide, runs
from tfrec.errors import InputError

NO_PART = -1
PARTS = {TRAINING: "training", VALIDATION: "validation", TEST: "test"}


@dataclass(frozen=True)
class Impressions:
    """Labelled interactions, ordered by user, time and row of the table; so what precedes one is its history.

    Attributes:
        users: User codes, int32 [num_impressions].
        items: Item codes, int32 [num_impressions].
        labels: Whether the user liked, clicked, bought it: 0 or 1, float32 [num_impressions].
        outcomes: What else became of it, as in `Dataset.outcomes`: 0 or 1, float32 [num_impressions, num_outcomes].
        values: What it was worth, such as the seconds watched: of liked ones the interactions' column `value`, and 0 of
            others, or without such a column; float32 [num_impressions].
        parts: TRAINING, VALIDATION or TEST, or NO_PART, int8 [num_impressions].
        past: How many of the impressions, from the first of all, lie before this one: those of the same user from
            there back are its history. Of impressions at the same time none is in another's history. int64
            [num_impressions].
        remembered: Whether it may be in a history, bool [num_impressions].
        rows: The row of the interactions that each is, int64 [num_impressions].
    """

    users: np.ndarray
    items: np.ndarray
    labels: np.ndarray
    outcomes: np.ndarray
    values: np.ndarray
    parts: np.ndarray
    past: np.ndarray
    remembered: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.users)

    @property
    def first(self) -> np.ndarray:
        """The first impression of the same user, int64 [num_impressions]."""
        return np.repeat(*runs(self.users))

    def thinned(self, share: float) -> "Impressions":
        """Of the training impressions that were not liked only a share is in training, drawn with a seed of its own;
        the others are in no part, but histories hold them as before."""
        drawn = np.random.default_rng(0).random(len(self)) < share
        left_out = (self.parts == TRAINING) & (self.labels == 0) & ~drawn
        return replace(self, parts=np.where(left_out, NO_PART, self.parts).astype(np.int8))

    def summary(self) -> str:
        """One sentence: how many there are of each part, and how many of them were liked."""
        parts = (
            f"{name} {np.count_nonzero(inside):,} ({self.labels[inside].mean():.1%} liked)"
            for name, inside in ((name, self.parts == part) for part, name in PARTS.items())
        )
        return f"impressions: {', '.join(parts)}."


def split_impressions(dataset: Dataset, config: SplitConfig) -> Impressions:
    """Orders the interactions and divides them as `config` says, liked or not.

    leave_last_out: Each user's last is tested and the one before it validated; users with fewer than 3 are only trained
    on. last_fraction: The last `floor(fraction * n)` of a user's n are tested, those before them validated.
    global_time: Two moments cut the timeline, as in `split_dataset`. cold_items: What is with an item of either draw is
    validated or tested, and in no history.

    Else a history is all that came before, and so is that of a tested impression: it is what a server would know at
    that moment, and no model may have been trained on it.

    Args:
        dataset: With labels.
        config: How.

    Raises:
        InputError: There are no labels; or `global_time` is asked of times that cannot be compared between users.
    """
    if "label" not in dataset.interactions:
        raise InputError(
            "Expected interactions with a column 'label', 1 where it was liked and 0 where it was not, to predict it. "
            f"Received: {list(dataset.interactions)}. Map it with --column label=COLUMN, or set data.label_threshold "
            "to the least value that counts as liked."
        )
    order = dataset.order
    histories = dataset.by_user(["timestamp"])
    users, times = dataset.user_codes[order], histories.context["timestamp"]
    is_first = np.ones(len(order), bool)
    is_first[1:] = (users[1:] != users[:-1]) | (times[1:] != times[:-1])
    parts = divide(dataset, config, histories)
    labels = dataset.interactions["label"].to_numpy(np.float32)[order]
    values = np.zeros_like(labels)
    if "value" in dataset.interactions:
        values = np.where(labels > 0, dataset.interactions["value"].to_numpy(np.float32)[order], 0)
    impressions = Impressions(
        users=users,
        items=histories.values,
        labels=labels,
        outcomes=dataset.interactions[list(dataset.outcomes)].to_numpy(np.float32)[order],
        values=values,
        parts=parts,
        past=np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0)),
        remembered=(parts == TRAINING) | (config.kind != "cold_items"),
        rows=order,
    )
    return impressions


def check_outcomes(impressions: Impressions, names: tuple[str, ...], model: str) -> None:
    """Whether a model with several tasks can learn what it is given.

    Args:
        impressions: With outcomes.
        names: Of the outcomes.
        model: The architecture.

    Raises:
        InputError: A part has no impression with an outcome, or none without; or one has an outcome without what comes
            before it, and the model is esmm or jasper.
    """
    stages = dict(zip(("the label", *names), (impressions.labels, *impressions.outcomes.T), strict=True))
    _, *outcomes = stages
    for place, name in enumerate(outcomes):
        _require_both_outcomes(name, stages[name], impressions.parts)
        before = list(stages)[place if model == "jasper" else 0]
        num_strange = int((stages[name] > stages[before]).sum())
        if num_strange and model in ("esmm", "jasper"):
            raise InputError(
                f"Expected the outcome '{name}' only where there is {before}, for model.name {model!r}. Received: "
                f"{num_strange:,} impressions with the one and without the other. Name outcomes in the order in which "
                "they happen, or take mmoe or another model that needs no order."
            )


def check_values(impressions: Impressions) -> None:
    """Whether a model of what impressions are worth can learn from them.

    Raises:
        InputError: A liked impression has no value, or a negative one; or those of a part are all 0.
    """
    is_bad = ~(impressions.values >= 0) | np.isinf(impressions.values)
    if is_bad.any():
        raise InputError(
            "Expected a value of 0 or more for each interaction with a label of 1, such as the seconds watched. "
            f"Received: {is_bad.sum():,} without, as {impressions.values[is_bad][0]:g}. Mend them, or give them the "
            "label 0."
        )
    for part, title in PARTS.items():
        if not impressions.values[impressions.parts == part].any():
            raise InputError(
                f"Expected interactions with a value above 0 in {title}. Received: none. Map what they were worth, "
                "such as the seconds watched, with --column value=COLUMN, or take a model that predicts the label, "
                "such as dnn."
            )


def _require_both_outcomes(name: str, outcomes: np.ndarray, parts: np.ndarray) -> None:
    for part, title in PARTS.items():
        inside = outcomes[parts == part]
        if inside.min() == inside.max():
            raise InputError(
                f"Expected impressions with the outcome '{name}' and some without, in {title}. Received: "
                f"{int(inside.sum()):,} of {len(inside):,} with it. Bring more interactions, choose another split.kind "
                "or other fractions, or leave the outcome out."
            )


def check_labels(impressions: Impressions, config: SplitConfig) -> None:
    """Whether there is something to learn and something to test.

    Raises:
        InputError: A label is neither 0 nor 1; or a part lacks liked or other impressions, or has fewer than
            `config.minimum_users` users.
    """
    is_between = (impressions.labels != 0) & (impressions.labels != 1)
    if is_between.any():
        raise InputError(
            f"Expected labels that are 0 or 1. Received: {impressions.labels[is_between][0]:g}. Map it as value "
            "instead, with --column value=COLUMN, and set data.label_threshold to the least that counts as liked."
        )
    for part, name in PARTS.items():
        inside = impressions.parts == part
        num_users = len(np.unique(impressions.users[inside]))
        liked = int(impressions.labels[inside].sum())
        wanted = config.minimum_users if part != TRAINING else 1
        if num_users < wanted or liked in (0, inside.sum()):
            raise InputError(
                f"Expected impressions that were liked and some that were not, of at least {wanted:,} users, in {name} "
                f"after split '{config.kind}'. Received: {liked:,} liked of {inside.sum():,}, {num_users:,} users. "
                "Bring more interactions, choose another split.kind or other fractions, or lower split.minimum_users. "
                "If all was liked, set data.negatives."
            )
