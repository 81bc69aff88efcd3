"""Divides a data set into training, validation and test, without letting the future or the held-out leak."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from tfrec.config import SplitConfig
from tfrec.datasets.dataset import Dataset, EvaluationSet, Split
from tfrec.datasets.leakage import check_split
from tfrec.datasets.ordering import from_zero, gather, stretches
from tfrec.datasets.ragged import Ragged
from tfrec.errors import InputError

_AT_ONCE = 1 << 20  # interactions that are looked at together

TRAINING, VALIDATION, TEST = 0, 1, 2
LATER = 3
"""The part of what comes after the test, which nothing may see: of rolling_origin alone."""


def split_dataset(dataset: Dataset, config: SplitConfig, context: Mapping[str, np.ndarray] | None = None) -> Split:
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
        context: What else training and histories shall tell of each interaction, by name: arrays [num_interactions],
            as `history_context` makes them.

    Raises:
        InputError: Validation or test has fewer than `config.minimum_users` users, training has no interaction, or
            `global_time` or `rolling_origin` is asked of time stamps that cannot be compared between users.

    Example:
        >>> split = split_dataset(dataset, SplitConfig(kind="global_time", test_fraction=0.2))
        >>> split.test.histories[0]
        array([ 49, 256, 110], dtype=int32)
    """
    order = dataset.order
    parts = divide(dataset, config, order)
    in_time = config.kind in ("global_time", "rolling_origin")
    trained_until, cut = (
        _borders(dataset.interactions["timestamp"].to_numpy(), order, parts) if in_time else (None, None)
    )
    history = _by_user(dataset, order, context or {})
    del order  # The rest needs the memory.
    split = _split(history, parts, config)
    del history
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


def all_interactions(dataset: Dataset, context: Mapping[str, np.ndarray] | None = None) -> Ragged:
    """Undivided, as `Split.train` has its part: what to fit to once nothing is left to measure."""
    return _by_user(dataset, dataset.order, context or {})


_REMEDY = (
    "Bring more interactions, choose another split.kind (leave_last_out, last_fraction, global_time, rolling_origin, "
    "cold_items, cold_users) or other fractions, or lower split.minimum_users."
)


def _split(history: Ragged, parts: np.ndarray, config: SplitConfig) -> Split:
    """Some users at a time, so that nothing but the result is as long as the history."""
    trained, found = list[Ragged](), {name: list[_Cases]() for name in ("validation", "test")}
    held_out = np.zeros(int(history.values.max(initial=-1)) + 1, bool)
    for first, end in stretches(history.offsets, _AT_ONCE):
        some, some_parts = history.stretch(first, end), parts[history.offsets[first] : history.offsets[end]]
        before, targets = _sides(some, some_parts, config.kind)
        for name in found:
            found[name].append(_cases(some, before[name], targets[name], first))
            held_out[some.values[targets[name]]] = True
        trained.append(some.where(some_parts == TRAINING))
    lengths = history.lengths
    short = int(((lengths > 0) & (lengths < 3)).sum())
    train = Ragged.concatenate(trained)
    del history, trained, some
    drawn, notes, notes_on_draws = {}, tuple[str, ...](), tuple[str, ...]()
    for name in list(found):
        cases, its_notes = _joined_cases(name, found.pop(name))
        notes += its_notes
        drawn[name] = cases.drawn(config.max_cases, config.seed)
        if len(drawn[name]) < len(cases):
            notes_on_draws += (f"{len(drawn[name]):,} of {len(cases):,} users in {name} are drawn (split.max_cases).",)
    if config.kind == "leave_last_out" and short:
        notes += (f"{short:,} users with fewer than 3 interactions are only trained on.",)
    candidates = np.flatnonzero(held_out).astype(np.int32) if config.kind == "cold_items" else None
    return Split(train, drawn["validation"], drawn["test"], candidates, notes + notes_on_draws)


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


def divide(dataset: Dataset, config: SplitConfig, order: np.ndarray) -> np.ndarray:
    """The part that each interaction falls into: TRAINING, VALIDATION, TEST or LATER, int8 [num_interactions].

    Args:
        dataset: What to divide.
        config: How; see `split_dataset`.
        order: The rows of the interactions by user and time.

    Raises:
        InputError: `global_time` is asked of times that cannot be compared between users.
    """
    return _PARTS[config.kind](dataset, config, order)


def _leave_last_out(dataset: Dataset, config: SplitConfig, order: np.ndarray) -> np.ndarray:
    lengths = np.bincount(dataset.user_codes)
    is_asked = lengths >= 3
    return _ends(lengths, is_asked, is_asked)


def _last_fraction(dataset: Dataset, config: SplitConfig, order: np.ndarray) -> np.ndarray:
    lengths = np.bincount(dataset.user_codes)
    num_test = np.floor(config.test_fraction * lengths)
    return _ends(lengths, np.floor(config.validation_fraction * lengths), num_test)


def _ends(lengths: np.ndarray, num_validation: np.ndarray, num_test: np.ndarray) -> np.ndarray:
    """The parts of users' interactions, int8 [sum(lengths)]: so many last of each are tested, and validated before."""
    counts = np.stack([lengths - num_validation - num_test, num_validation, num_test], axis=1)
    parts = np.array([TRAINING, VALIDATION, TEST], np.int8)
    return np.repeat(np.tile(parts, len(lengths)), counts.astype(np.int64).reshape(-1))


def runs(users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of interactions ordered by user: where each user's begin, and how many they are."""
    starts = np.flatnonzero(np.diff(users, prepend=-1))
    return starts, np.diff(starts, append=len(users))


def _global_time(dataset: Dataset, config: SplitConfig, order: np.ndarray) -> np.ndarray:
    return _in_time(dataset, config, order, 0.0)


def _rolling_origin(dataset: Dataset, config: SplitConfig, order: np.ndarray) -> np.ndarray:
    return _in_time(dataset, config, order, (config.origins - config.origin) * config.test_fraction)


def _in_time(dataset: Dataset, config: SplitConfig, order: np.ndarray, later: float) -> np.ndarray:
    """Validation and test are the windows before the last `later` of the timeline.

    Raises:
        InputError: Times of different users can't be compared.
    """
    if not dataset.shared_clock:
        raise InputError(
            f"Expected times that users share, to split by {config.kind}. Received: positions within each user's own "
            "history. Use split.kind = leave_last_out, last_fraction, cold_items or cold_users."
        )
    timestamps = dataset.interactions["timestamp"].to_numpy()
    end = 1 - later
    shares = (end - config.validation_fraction - config.test_fraction, end - config.test_fraction, end)
    places = [min(max(round(share * len(timestamps)), 0), len(timestamps) - 1) for share in shares]
    validation_start, test_start, test_end = _at_places(timestamps, places)
    parts = np.zeros(len(timestamps), np.int8)
    for part, start in (
        (VALIDATION, validation_start),
        (TEST, test_start),
        *([(LATER, test_end)] if later > 0 else []),
    ):
        parts[timestamps >= start] = part
    return gather(parts, order)


def _at_places(timestamps: np.ndarray, places: list[int]) -> list[float]:
    """What would stand at these places if times were sorted."""
    ordered, low = from_zero(timestamps)
    ordered = ordered.copy() if ordered is timestamps else ordered
    ordered.partition(places)
    return [low + each for each in ordered[places].tolist()]


def _borders(timestamps: np.ndarray, order: np.ndarray, parts: np.ndarray) -> tuple[float, float]:
    """The time of the last training interaction, and of the first other one; `parts` are in order."""
    trained_until, cut = -np.inf, np.inf
    for low in range(0, len(order), _AT_ONCE):
        times, is_training = timestamps[order[low : low + _AT_ONCE]], parts[low : low + _AT_ONCE] == TRAINING
        if is_training.any():
            trained_until = max(trained_until, float(times[is_training].max()))
        if not is_training.all():
            cut = min(cut, float(times[~is_training].min()))
    return trained_until, cut


def _cold_items(dataset: Dataset, config: SplitConfig, order: np.ndarray) -> np.ndarray:
    return gather(_draw(dataset.item_codes, dataset.num_items, config), order)


def _cold_users(dataset: Dataset, config: SplitConfig, order: np.ndarray) -> np.ndarray:
    return gather(_draw(dataset.user_codes, dataset.num_users, config), order)


def _draw(codes: np.ndarray, number: int, config: SplitConfig) -> np.ndarray:
    """The part of each interaction by that of its item or user: fractions of those that occur are drawn."""
    seen = np.flatnonzero(np.bincount(codes, minlength=number))
    num_validation = round(config.validation_fraction * len(seen))
    num_test = round(config.test_fraction * len(seen))
    drawn = np.random.default_rng(config.seed).permutation(seen)[: num_validation + num_test]
    parts = np.full(number, TRAINING, np.int8)
    parts[drawn[:num_validation]], parts[drawn[num_validation:]] = VALIDATION, TEST
    return gather(parts, codes)


def _before_first(history: Ragged, is_target: np.ndarray) -> np.ndarray:
    """What precedes its user's first target, bool [total]."""
    places = np.flatnonzero(is_target)
    rows, first = np.unique(np.searchsorted(history.offsets, places, side="right") - 1, return_index=True)
    num_before = history.lengths
    num_before[rows] = places[first] - history.offsets[rows]
    counts = np.stack([num_before, history.lengths - num_before], axis=1)
    return np.repeat(np.tile([True, False], len(history)), counts.reshape(-1))


@dataclass(frozen=True)
class _Cases:
    """Cases of some users, how many of these have targets but no history, and how many targets were known."""

    cases: EvaluationSet
    num_unknown: int
    num_repeated: int


def _cases(history: Ragged, before: np.ndarray, target: np.ndarray, first: int) -> _Cases:
    """Makes one case for each user who has a target.

    Args:
        history: All that each user did, oldest first.
        before: What a user's history may hold, bool [total].
        target: What a user is asked for, bool [total].
        first: The code of the first user.
    """
    asked = history.count(target) > 0
    known = asked & (history.count(before) > 0)
    users = np.flatnonzero(known).astype(np.int32)
    is_known = np.repeat(known, history.lengths)
    histories = history.where(before & is_known).take(users)
    targets = replace(history, context={}).where(target & is_known).take(users)

    targets = targets.where(~targets.is_repeat())
    is_repeated = targets.is_in(histories)
    targets = targets.where(~is_repeated)
    answered = targets.lengths > 0
    cases = EvaluationSet(users[answered] + np.int32(first), histories.take(answered), targets.take(answered))
    return _Cases(cases, int((asked & ~known).sum()), int(is_repeated.sum()))


def _joined_cases(name: str, found: list[_Cases]) -> tuple[EvaluationSet, tuple[str, ...]]:
    """The cases of all users, and what to tell of those that are none. `name`: the part, for the notes."""
    notes: tuple[str, ...] = ()
    if num_unknown := sum(each.num_unknown for each in found):
        notes += (f"{num_unknown:,} users have {name} targets but no history before them: left out.",)
    if num_repeated := sum(each.num_repeated for each in found):
        notes += (f"{num_repeated:,} {name} targets were in their user's history already: left out.",)
    users, histories, targets = (
        [getattr(each.cases, which) for each in found] for which in ("users", "histories", "targets")
    )
    found.clear()
    return EvaluationSet(np.concatenate(users), Ragged.concatenate(histories), Ragged.concatenate(targets)), notes


def _by_user(dataset: Dataset, order: np.ndarray, context: Mapping[str, np.ndarray]) -> Ragged:
    """The items of each user in order; row u is user code u."""
    lengths = np.bincount(dataset.user_codes, minlength=dataset.num_users)
    return Ragged.from_lengths(
        gather(dataset.item_codes, order), lengths, {name: gather(array, order) for name, array in context.items()}
    )


_PARTS: dict[str, Callable[[Dataset, SplitConfig, np.ndarray], np.ndarray]] = {
    "leave_last_out": _leave_last_out,
    "last_fraction": _last_fraction,
    "global_time": _global_time,
    "rolling_origin": _rolling_origin,
    "cold_items": _cold_items,
    "cold_users": _cold_users,
}
