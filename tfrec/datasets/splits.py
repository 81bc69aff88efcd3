"""Divides a data set into training, validation and test, without letting the future or the held-out leak."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from tfrec.config import SplitConfig
from tfrec.datasets.dataset import Dataset, EvaluationSet, Ragged, Split
from tfrec.errors import InputError


def split_dataset(dataset: Dataset, config: SplitConfig, context: Mapping[str, np.ndarray] | None = None) -> Split:
    """Divides `dataset` as `config` says.

    A user's interactions are ordered by time, those of equal time by their row.

    leave_last_out: Each user's last interaction is the test target and the one before it the validation target; the
    validation target is in the test history. Users with fewer than 3 interactions are only trained on.

    global_time: Two moments cut the timeline, at the quantiles that the fractions give; interactions of one moment
    fall on one side. Targets are what a user did inside a window, the history is what came before the window.

    cold_items: Two draws of the items that anyone interacted with are held out, one for validation and one for test.
    They are in neither training nor any history. Targets are a user's interactions with one draw's items, the history
    is what precedes the first of them. `Split.candidates` holds the items of both draws: what is ranked is the new.

    last_fraction: A user's last `floor(test_fraction * n)` of n interactions are the test targets, those before them,
    by the other fraction, the validation targets.

    A target that is in its own history already (repeat consumption) is no target, and a repeated target counts once.
    A case without targets, or outside leave_last_out without a history, is left out. The notes count what was.

    Args:
        dataset: What to divide.
        config: How.
        context: What else training and histories shall tell of each interaction, by name: arrays [num_interactions],
            as `history_context` makes them.

    Raises:
        InputError: Validation or test has fewer than `config.minimum_users` users, training has no interaction, or
            `global_time` is asked of time stamps that cannot be compared between users.

    Example:
        >>> split = split_dataset(dataset, SplitConfig(kind="global_time", test_fraction=0.2))
        >>> split.test.histories[0]
        array([ 49, 256, 110], dtype=int32)
    """
    order = np.lexsort((dataset.interactions["timestamp"].to_numpy(), dataset.user_codes))  # by user, time, row
    history = _by_user(dataset, order, context or {})
    split = _SPLITS[config.kind](dataset, config, history, order)
    if not len(split.train.values):
        raise InputError(f"Expected interactions to train on after split '{config.kind}'. Received: none. {_REMEDY}")
    for name, part in (("validation", split.validation), ("test", split.test)):
        if len(part) < config.minimum_users:
            raise InputError(
                f"Expected at least {config.minimum_users:,} users in {name} after split '{config.kind}'. "
                f"Received: {len(part):,} of {dataset.num_users:,} users. {_REMEDY}"
                + "".join(f"\n  - {note}" for note in split.notes)
            )
    return split


_REMEDY = (
    "Bring more interactions, choose another split.kind (leave_last_out, last_fraction, global_time, cold_items) or "
    "other fractions, or lower split.minimum_users."
)


def _leave_last_out(dataset: Dataset, config: SplitConfig, history: Ragged, order: np.ndarray) -> Split:
    split_users = history.lengths >= 3
    from_end, _ = places_from_end(history.rows)
    held_out = np.repeat(split_users, history.lengths)
    validation, validation_notes = _cases("validation", history, held_out & (from_end > 2), held_out & (from_end == 2))
    test, test_notes = _cases("test", history, held_out & (from_end > 1), held_out & (from_end == 1))
    notes = validation_notes + test_notes
    short = int((~split_users & (history.lengths > 0)).sum())
    if short:
        notes += (f"{short:,} users with fewer than 3 interactions are only trained on.",)
    return Split(history.where(~held_out | (from_end > 2)), validation, test, notes=notes)


def _last_fraction(dataset: Dataset, config: SplitConfig, history: Ragged, order: np.ndarray) -> Split:
    from_end, counts = places_from_end(history.rows)
    num_test = np.floor(config.test_fraction * counts)
    is_test = from_end <= num_test
    is_held_out = from_end <= num_test + np.floor(config.validation_fraction * counts)
    validation, validation_notes = _cases("validation", history, ~is_held_out, is_held_out & ~is_test)
    test, test_notes = _cases("test", history, ~is_test, is_test)
    return Split(history.where(~is_held_out), validation, test, notes=validation_notes + test_notes)


def places_from_end(users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of interactions ordered by user: 1 for each user's last, 2 for the one before, …; and how many the user has."""
    starts = np.flatnonzero(np.diff(users, prepend=-1))
    lengths = np.diff(starts, append=len(users))
    counts = np.repeat(lengths, lengths)
    return np.repeat(starts, lengths) + counts - np.arange(len(users)), counts


def _global_time(dataset: Dataset, config: SplitConfig, history: Ragged, order: np.ndarray) -> Split:
    validation_start, test_start = cut_timeline(dataset, config)
    timestamps = dataset.interactions["timestamp"].to_numpy()[order]
    before_validation, before_test = timestamps < validation_start, timestamps < test_start
    validation, validation_notes = _cases("validation", history, before_validation, before_test & ~before_validation)
    test, test_notes = _cases("test", history, before_test, ~before_test)
    return Split(history.where(before_validation), validation, test, notes=validation_notes + test_notes)


def cut_timeline(dataset: Dataset, config: SplitConfig) -> tuple[float, float]:
    """The moments at which global_time begins to validate and to test.

    Raises:
        InputError: Times of different users can't be compared.
    """
    if not dataset.shared_clock:
        raise InputError(
            "Expected times that users share, to split by global_time. Received: positions within each user's own "
            "history. Use split.kind = leave_last_out or cold_items."
        )
    timestamps = dataset.interactions["timestamp"].to_numpy()
    shares = (1 - config.validation_fraction - config.test_fraction, 1 - config.test_fraction)
    places = [min(max(round(share * len(timestamps)), 0), len(timestamps) - 1) for share in shares]
    validation_start, test_start = np.partition(timestamps, places)[places]
    return validation_start, test_start


def _cold_items(dataset: Dataset, config: SplitConfig, history: Ragged, order: np.ndarray) -> Split:
    validation_items, test_items = draw_items(dataset, config)
    draw = np.zeros(dataset.num_items, np.int8)  # 0: warm
    draw[validation_items], draw[test_items] = 1, 2
    draws = draw[history.values]
    validation, validation_notes = _cases("validation", history, *_before_first(history, draws == 1, draws == 0))
    test, test_notes = _cases("test", history, *_before_first(history, draws == 2, draws == 0))
    candidates = np.sort(np.concatenate([validation_items, test_items])).astype(np.int32)
    return Split(history.where(draws == 0), validation, test, candidates, validation_notes + test_notes)


def draw_items(dataset: Dataset, config: SplitConfig) -> tuple[np.ndarray, np.ndarray]:
    """The items that cold_items validates with, and those that it tests with: codes, of items with interactions."""
    seen_items = np.unique(dataset.item_codes)
    num_validation = round(config.validation_fraction * len(seen_items))
    num_test = round(config.test_fraction * len(seen_items))
    drawn = np.random.default_rng(config.seed).permutation(seen_items)[: num_validation + num_test]
    return drawn[:num_validation], drawn[num_validation:]


def _before_first(history: Ragged, is_target: np.ndarray, is_warm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Masks (bool [total]) of what is warm and precedes its user's first target, and of the targets."""
    num_targets = np.concatenate([[0], np.cumsum(is_target)])
    is_before = num_targets[1:] == np.repeat(num_targets[history.offsets[:-1]], history.lengths)
    return is_before & is_warm, is_target


def _cases(name: str, history: Ragged, before: np.ndarray, target: np.ndarray) -> tuple[EvaluationSet, tuple[str, ...]]:
    """Makes one case for each user who has a target.

    Args:
        name: The part, for the notes.
        history: All that each user did, oldest first.
        before: What a user's history may hold, bool [total].
        target: What a user is asked for, bool [total].
    """
    histories, targets = history.where(before), replace(history, context={}).where(target)
    asked = targets.lengths > 0
    known = asked & (histories.lengths > 0)
    users = np.flatnonzero(known).astype(np.int32)
    histories, targets = histories.take(users), targets.take(users)

    num_items = np.int64(history.values.max(initial=0)) + 1
    keys = targets.rows * num_items + targets.values
    distinct, first = np.unique(keys, return_index=True)
    is_fresh = np.ones(len(distinct), bool)
    history_keys = histories.rows * num_items + histories.values
    places = np.searchsorted(distinct, history_keys)
    is_fresh[places[distinct.take(places, mode="clip") == history_keys]] = False
    keep = np.zeros(len(keys), bool)
    keep[first[is_fresh]] = True
    targets = targets.where(keep)

    notes: tuple[str, ...] = ()
    if num_unknown := int((asked & ~known).sum()):
        notes += (f"{num_unknown:,} users have {name} targets but no history before them: left out.",)
    if num_repeated := len(distinct) - int(is_fresh.sum()):
        notes += (f"{num_repeated:,} {name} targets were in their user's history already: left out.",)
    answered = targets.lengths > 0
    return EvaluationSet(users[answered], histories.take(answered), targets.take(answered)), notes


def _by_user(dataset: Dataset, order: np.ndarray, context: Mapping[str, np.ndarray]) -> Ragged:
    """The items of each user in order; row u is user code u."""
    lengths = np.bincount(dataset.user_codes, minlength=dataset.num_users)
    return Ragged.from_lengths(
        dataset.item_codes[order], lengths, {name: array[order] for name, array in context.items()}
    )


_SPLITS: dict[str, Callable[[Dataset, SplitConfig, Ragged, np.ndarray], Split]] = {
    "leave_last_out": _leave_last_out,
    "last_fraction": _last_fraction,
    "global_time": _global_time,
    "cold_items": _cold_items,
}
