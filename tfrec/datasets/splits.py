"""Divides a data set into training, validation and test, without letting the future or the held-out leak."""

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

import numpy as np

from tfrec.config import SplitConfig
from tfrec.datasets.dataset import Dataset, EvaluationSet, Split
from tfrec.datasets.leakage import check_split
from tfrec.datasets.ordering import at_places, gather, stretches
from tfrec.datasets.ragged import Ragged
from tfrec.datasets.ragged_parts import RaggedParts
from tfrec.errors import InputError

_Rule = Callable[[Ragged, int], np.ndarray]
"""The parts of some users' interactions, int8 [total], given these and the code of the first user."""

_IN_TIME = ("global_time", "rolling_origin")

_AT_ONCE = 1 << 20  # interactions that are looked at together

TRAINING, VALIDATION, TEST = 0, 1, 2
LATER = 3
"""The part of what comes after the test, which nothing may see: of rolling_origin alone."""


def split_dataset(
    dataset: Dataset, config: SplitConfig, context: Collection[str] = (), folder: Path | None = None
) -> Split:
    """Divides `dataset` as `config` says.

    A user's interactions are ordered by time, those of equal time by their row.

    leave_last_out: Each user's last interaction is the test target and the one before it the validation target; the
    validation target is in the test history. Users with fewer than 3 interactions are only trained on.

    global_time: Two moments cut the timeline, at the quantiles that the fractions give; interactions of one moment
    fall on one side. Targets are what a user did inside a window, the history is what came before the window.

    rolling_origin: As global_time, at an earlier end of time. `origins` test windows follow each other, `origin`
    is the one tested, and what comes after it does not exist. A run is of one origin, and the figures of several
    tell how much they depend on the period (Tashman, "Out-of-sample tests of forecasting accuracy", International
    Journal of Forecasting 16(4), 2000).

    cold_items: Two draws of the items that anyone interacted with are held out, one for validation and one for test.
    They are in neither training nor any history. Targets are a user's interactions with one draw's items, the history
    is what precedes the first of them. `Split.candidates` holds the items of both draws: what is ranked is the new.

    cold_users: Two draws of the users with interactions are held out, one for validation and one for test; training has
    nothing of them ("strong generalisation"; Marlin, "Modeling user rating profiles for collaborative filtering", NIPS
    2003). Such a user's last interaction is the target, those before it are the history.

    last_fraction: A user's last `floor(test_fraction * n)` of n interactions are the test targets, those before them,
    by the other fraction, the validation targets.

    A target that is in its own history already (repeat consumption) is no target, and a repeated target counts once.
    A case without targets, or outside leave_last_out without a history, is left out. The notes count what was.

    Args:
        dataset: What to divide.
        config: How.
        context: Columns of the interactions that training and histories shall tell beside the items, as
            `Dataset.by_user` has them.
        folder: An empty one, for the arrays of a division that is too large for the memory. None: they are in memory.

    Raises:
        InputError: Validation or test has fewer than `config.minimum_users` users, training has no interaction, or
            `global_time` or `rolling_origin` is asked of time stamps that cannot be compared between users.

    Example:
        >>> split = split_dataset(dataset, SplitConfig(kind="global_time", test_fraction=0.2))
        >>> split.test.histories[0]
        array([ 49, 256, 110], dtype=int32)
    """
    histories = dataset.by_user({*context, "timestamp"} if config.kind in _IN_TIME else context)
    part_of = _RULES[config.kind](dataset, config, histories)
    split, trained_until, cut = _split(histories, part_of, dataset.num_items, config, context, folder)
    del histories
    if not len(split.train.values):
        raise InputError(f"Expected interactions to train on after split '{config.kind}'. Received: none. {_REMEDY}")
    for name, part in (("validation", split.validation), ("test", split.test)):
        if len(part) < config.minimum_users:
            raise InputError(
                f"Expected at least {config.minimum_users:,} users in {name} after split '{config.kind}'. "
                f"Received: {len(part):,} of {dataset.num_users:,} users. {_REMEDY}"
                + "".join(f"\n  - {note}" for note in split.notes)
            )
    check_split(split, config.kind, trained_until, cut)
    return split


_REMEDY = (
    "Bring more interactions, choose another split.kind (leave_last_out, last_fraction, global_time, rolling_origin, "
    "cold_items, cold_users) or other fractions, or lower split.minimum_users."
)


def _split(
    histories: Ragged,
    part_of: _Rule,
    num_items: int,
    config: SplitConfig,
    context: Collection[str],
    folder: Path | None,
) -> tuple[Split, float | None, float | None]:
    """Some users at a time, so that nothing but the result is as long as the histories.

    Returns:
        The division; where the timeline is cut, the time of the last training interaction, and of the first other one.
    """
    train = RaggedParts(folder, "train")
    found = {name: _FoundCases(name, folder) for name in ("validation", "test")}
    held_out = np.zeros(num_items, bool)
    trained_until, cut = -np.inf, np.inf
    for first, end in stretches(histories.offsets, _AT_ONCE):
        some = histories.load(first, end)
        parts = part_of(some, first)
        if "timestamp" in some.context:
            times, is_training = some.context["timestamp"], parts == TRAINING
            if is_training.any():
                trained_until = max(trained_until, float(times[is_training].max()))
            if not is_training.all():
                cut = min(cut, float(times[~is_training].min()))
            some = replace(some, context={name: some.context[name] for name in context})
        before, targets = _sides(some, parts, config.kind)
        for name, its_cases in found.items():
            its_cases.add(some, before[name], targets[name], first)
            held_out[some.values[targets[name]]] = True
        train.append(some.where(parts == TRAINING))
    short = int(((histories.lengths > 0) & (histories.lengths < 3)).sum())
    del histories
    notes = tuple(note for each in found.values() for note in each.notes())
    drawn, notes_on_draws = {}, tuple[str, ...]()
    for name in list(found):
        cases = found.pop(name).joined()
        drawn[name] = cases.drawn(config.max_cases, config.seed)
        if len(drawn[name]) < len(cases):
            notes_on_draws += (f"{len(drawn[name]):,} of {len(cases):,} users in {name} are drawn (split.max_cases).",)
    if config.kind == "leave_last_out" and short:
        notes += (f"{short:,} users with fewer than 3 interactions are only trained on.",)
    candidates = np.flatnonzero(held_out).astype(np.int32) if config.kind == "cold_items" else None
    split = Split(train.joined(), drawn["validation"], drawn["test"], candidates, notes + notes_on_draws)
    return split, *((trained_until, cut) if config.kind in _IN_TIME else (None, None))


def _sides(history: Ragged, parts: np.ndarray, kind: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What histories may hold, and what is asked, of validation and of test: bool [total] each."""
    is_training, is_validation, is_test = (parts == part for part in (TRAINING, VALIDATION, TEST))
    before_validation, before_test = is_training, is_training | is_validation
    if kind == "cold_items":
        before_validation, before_test = (
            is_training & _before_first(history, each) for each in (is_validation, is_test)
        )
    if kind == "cold_users":
        is_last = np.zeros(len(history.values), bool)
        is_last[history.offsets[1:][history.lengths > 0] - 1] = True
        before_validation, before_test = is_validation & ~is_last, is_test & ~is_last
        is_validation, is_test = is_validation & is_last, is_test & is_last
    return {"validation": before_validation, "test": before_test}, {"validation": is_validation, "test": is_test}


def divide(dataset: Dataset, config: SplitConfig, histories: Ragged) -> np.ndarray:
    """The part that each interaction falls into: TRAINING, VALIDATION, TEST or LATER, int8 [total].

    Args:
        dataset: What to divide.
        config: How; see `split_dataset`.
        histories: Its interactions by user, with their times as context if the timeline is cut.

    Raises:
        InputError: `global_time` is asked of times that cannot be compared between users.
    """
    return _RULES[config.kind](dataset, config, histories)(histories, 0)


def _leave_last_out(dataset: Dataset, config: SplitConfig, histories: Ragged) -> _Rule:
    def part_of(some: Ragged, first: int) -> np.ndarray:
        is_asked = some.lengths >= 3
        return _ends(some.lengths, is_asked, is_asked)

    return part_of


def _last_fraction(dataset: Dataset, config: SplitConfig, histories: Ragged) -> _Rule:
    def part_of(some: Ragged, first: int) -> np.ndarray:
        num_validation, num_test = (
            np.floor(fraction * some.lengths) for fraction in (config.validation_fraction, config.test_fraction)
        )
        return _ends(some.lengths, num_validation, num_test)

    return part_of


def _ends(lengths: np.ndarray, num_validation: np.ndarray, num_test: np.ndarray) -> np.ndarray:
    """The parts of users' interactions, int8 [sum(lengths)]: so many last of each are tested, and validated before."""
    counts = np.stack([lengths - num_validation - num_test, num_validation, num_test], axis=1)
    parts = np.array([TRAINING, VALIDATION, TEST], np.int8)
    return np.repeat(np.tile(parts, len(lengths)), counts.astype(np.int64).reshape(-1))


def runs(users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of interactions ordered by user: where each user's begin, and how many they are."""
    starts = np.flatnonzero(np.diff(users, prepend=-1))
    return starts, np.diff(starts, append=len(users))


def _global_time(dataset: Dataset, config: SplitConfig, histories: Ragged) -> _Rule:
    return _in_time(dataset, config, histories, 0.0)


def _rolling_origin(dataset: Dataset, config: SplitConfig, histories: Ragged) -> _Rule:
    return _in_time(dataset, config, histories, (config.origins - config.origin) * config.test_fraction)


def _in_time(dataset: Dataset, config: SplitConfig, histories: Ragged, later: float) -> _Rule:
    """Validation and test are the windows before the last `later` of the timeline.

    Raises:
        InputError: Times of different users can't be compared.
    """
    if not dataset.shared_clock:
        raise InputError(
            f"Expected times that users share, to split by {config.kind}. Received: positions within each user's own "
            "history. Use split.kind = leave_last_out, last_fraction, cold_items or cold_users."
        )
    timestamps = histories.context["timestamp"]
    end = 1 - later
    shares = (end - config.validation_fraction - config.test_fraction, end - config.test_fraction, end)
    places = [min(max(round(share * len(timestamps)), 0), len(timestamps) - 1) for share in shares]
    validation_start, test_start, test_end = at_places(timestamps, places)
    starts = {VALIDATION: validation_start, TEST: test_start} | ({LATER: test_end} if later > 0 else {})

    def part_of(some: Ragged, first: int) -> np.ndarray:
        parts = np.zeros(len(some.values), np.int8)
        for part, start in starts.items():
            parts[some.context["timestamp"] >= start] = part
        return parts

    return part_of


def _cold_items(dataset: Dataset, config: SplitConfig, histories: Ragged) -> _Rule:
    parts = _draw(histories.count_values(dataset.num_items), config)
    return lambda some, first: gather(parts, some.values)


def _cold_users(dataset: Dataset, config: SplitConfig, histories: Ragged) -> _Rule:
    parts = _draw(histories.lengths, config)
    return lambda some, first: np.repeat(parts[first : first + len(some)], some.lengths)


def _draw(counts: np.ndarray, config: SplitConfig) -> np.ndarray:
    """The part of each item or user, of which so many interactions are: fractions of those that occur are drawn."""
    seen = np.flatnonzero(counts)
    num_validation = round(config.validation_fraction * len(seen))
    num_test = round(config.test_fraction * len(seen))
    drawn = np.random.default_rng(config.seed).permutation(seen)[: num_validation + num_test]
    parts = np.full(len(counts), TRAINING, np.int8)
    parts[drawn[:num_validation]], parts[drawn[num_validation:]] = VALIDATION, TEST
    return parts


def _before_first(history: Ragged, is_target: np.ndarray) -> np.ndarray:
    """What precedes its user's first target, bool [total]."""
    places = np.flatnonzero(is_target)
    rows, first = np.unique(np.searchsorted(history.offsets, places, side="right") - 1, return_index=True)
    num_before = history.lengths
    num_before[rows] = places[first] - history.offsets[rows]
    counts = np.stack([num_before, history.lengths - num_before], axis=1)
    return np.repeat(np.tile([True, False], len(history)), counts.reshape(-1))


class _FoundCases:
    """The cases of validation or test, found some users at a time: one of each user who has a target.

    Args:
        name: The part, for the notes.
        folder: Where to keep them; None: in memory.
    """

    def __init__(self, name: str, folder: Path | None) -> None:
        self._name = name
        self._users = list[np.ndarray]()
        self._histories, self._targets = (RaggedParts(folder, f"{name}_{part}") for part in ("histories", "targets"))
        self._num_unknown = self._num_repeated = 0

    def add(self, histories: Ragged, before: np.ndarray, target: np.ndarray, first: int) -> None:
        """Finds those of some users.

        Args:
            histories: All that each user did, oldest first.
            before: What a user's history may hold, bool [total].
            target: What a user is asked for, bool [total].
            first: The code of the first user.
        """
        asked = histories.count(target) > 0
        known = asked & (histories.count(before) > 0)
        users = np.flatnonzero(known).astype(np.int32)
        is_known = np.repeat(known, histories.lengths)
        past = histories.where(before & is_known).take(users)
        targets = replace(histories, context={}).where(target & is_known).take(users)

        targets = targets.where(~targets.is_repeat())
        is_repeated = targets.is_in(past)
        targets = targets.where(~is_repeated)
        answered = targets.lengths > 0
        self._users.append(users[answered] + np.int32(first))
        self._histories.append(past.take(answered))
        self._targets.append(targets.take(answered))
        self._num_unknown += int((asked & ~known).sum())
        self._num_repeated += int(is_repeated.sum())

    def notes(self) -> list[str]:
        """What to tell of users that have targets and are no case."""
        notes = []
        if self._num_unknown:
            notes.append(f"{self._num_unknown:,} users have {self._name} targets but no history before them: left out.")
        if self._num_repeated:
            notes.append(f"{self._num_repeated:,} {self._name} targets were in their user's history already: left out.")
        return notes

    def joined(self) -> EvaluationSet:
        """The cases of all users."""
        return EvaluationSet(np.concatenate(self._users), self._histories.joined(), self._targets.joined())


_RULES: dict[str, Callable[[Dataset, SplitConfig, Ragged], _Rule]] = {
    "leave_last_out": _leave_last_out,
    "last_fraction": _last_fraction,
    "global_time": _global_time,
    "rolling_origin": _rolling_origin,
    "cold_items": _cold_items,
    "cold_users": _cold_users,
}
