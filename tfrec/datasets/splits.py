"""Divides a data set into training, validation and test, without letting the future or the held-out leak."""

from collections.abc import Callable

import numpy as np

from tfrec.config import SplitConfig
from tfrec.datasets.dataset import Dataset, EvaluationSet, Ragged, Split
from tfrec.errors import InputError


def split_dataset(dataset: Dataset, config: SplitConfig) -> Split:
    """Divides `dataset` as `config` says.

    A user's interactions are ordered by time, those of equal time by their row. A target that is already in its own
    history (repeat consumption) is no target, and a target counts once; a case without any target left is no case.
    What this left out is counted in the notes.

    Raises:
        InputError: Validation or test has fewer than `config.minimum_users` users, training has no interaction, or the
            time stamps cannot be compared between users and `global_time` asks for it.
    """
    split = _SPLITS[config.kind](dataset, config)
    if not len(split.train.values):
        raise InputError(f"Expected interactions to train on after split '{config.kind}'. Received: none. {_REMEDY}")
    for name, part in (("validation", split.validation), ("test", split.test)):
        if len(part) < config.minimum_users:
            notes = "".join(f"\n  - {note}" for note in split.notes)
            raise InputError(
                f"Expected at least {config.minimum_users:,} users in {name} after split '{config.kind}'. "
                f"Received: {len(part):,} of {dataset.num_users:,} users. {_REMEDY}{notes}"
            )
    return split


_REMEDY = (
    "Bring more interactions, choose another split.kind (leave_last_out, global_time, cold_items) or other fractions, "
    "or lower split.minimum_users."
)


def _leave_last_out(dataset: Dataset, config: SplitConfig) -> Split:
    history = _by_user(dataset)
    long_enough = history.lengths >= 3
    users = np.flatnonzero(long_enough)
    from_end = np.repeat(history.offsets[1:], history.lengths) - np.arange(len(history.values))  # 1: a user's last
    held_out = np.repeat(long_enough, history.lengths)
    validation, validation_note = _cases(
        "validation", history, users, (from_end > 2) & held_out, (from_end == 2) & held_out
    )
    test, test_note = _cases("test", history, users, (from_end > 1) & held_out, (from_end == 1) & held_out)
    notes = validation_note + test_note
    short = int(((history.lengths > 0) & ~long_enough).sum())
    if short:
        notes += (f"{short:,} users with fewer than 3 interactions are only trained on.",)
    return Split(history.where((from_end > 2) | ~held_out), validation, test, notes=notes)


def _cases(
    name: str, history: Ragged, users: np.ndarray, before: np.ndarray, target: np.ndarray
) -> tuple[EvaluationSet, tuple[str, ...]]:
    """Makes the cases of `users`: what is `before` (bool [total]), and what is a `target` (bool [total])."""
    histories, targets = history.where(before).take(users), history.where(target).take(users)
    num_items = np.int64(history.values.max(initial=0)) + 1
    keys = targets.rows * num_items + targets.values
    fresh = ~np.isin(keys, histories.rows * num_items + histories.values)
    first = np.zeros(len(keys), bool)
    first[np.unique(keys, return_index=True)[1]] = True
    targets = targets.where(fresh & first)
    answered = targets.lengths > 0
    repeated = int((~fresh).sum())
    notes = (f"{repeated:,} {name} targets were in their user's history already and do not count.",) if repeated else ()
    return EvaluationSet(users[answered].astype(np.int32), histories.take(answered), targets.take(answered)), notes


def _by_user(dataset: Dataset) -> Ragged:
    """The items of each user in order; row u is user code u."""
    order = _order(dataset)
    lengths = np.bincount(dataset.user_codes, minlength=dataset.num_users)
    return Ragged.from_lengths(dataset.item_codes[order], lengths)


def _order(dataset: Dataset) -> np.ndarray:
    """The interactions by user, then time, then row."""
    return np.lexsort((dataset.interactions["timestamp"].to_numpy(), dataset.user_codes))


_SPLITS: dict[str, Callable[[Dataset, SplitConfig], Split]] = {
    "leave_last_out": _leave_last_out,
}
