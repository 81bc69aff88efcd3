"""Refuses a division whose training knows what it is asked for."""

import numpy as np

from tfrec.datasets.dataset import EvaluationSet, Split
from tfrec.datasets.ordering import stretches
from tfrec.datasets.ragged import Ragged
from tfrec.errors import InputError

_VALUES_AT_ONCE = 1 << 19  # of histories, so that what is computed of them stays small


def check_split(split: Split, kind: str, trained_until: float | None = None, cut: float | None = None) -> None:
    """Checks what the protocol of a split promises. `split_dataset` calls it, and the evaluation of a run.

    Of every split: each case has a target, none twice, and none in its own history; nobody is trained on an own target.
    Of those in time: a user's training is how the own history begins, so that nothing later was trained on. Of
    cold_items: no held-out item is in training or in a history. Of cold_users: no tested user is in training, and none
    of those that are validated is tested.

    Args:
        split: The division, made by tfrec or by hand.
        kind: As in `split.kind`.
        trained_until: The time of the last training interaction; a saved split does not know it.
        cut: The time from which on is validated or tested, where `kind` cuts the timeline.

    Raises:
        InputError: One of these does not hold: what, and for which user or item code.

    Example:
        >>> check_split(split, "global_time")
    """
    if trained_until is not None and cut is not None and trained_until >= cut:
        _refuse(f"training before the cut, at {cut}", f"a training interaction at {trained_until}")
    both = np.intersect1d(split.validation.users, split.test.users)
    if kind == "cold_users" and len(both):
        _refuse("users of validation that are not tested", f"user code {both[0]}")
    for name, cases in (("validation", split.validation), ("test", split.test)):
        if kind == "cold_users":
            trained = cases.users[split.train.lengths[cases.users] > 0]
            if len(trained):
                _refuse(f"no {name} user in training", f"user code {trained[0]}")
        if kind == "cold_items":
            _check_cold(name, cases, split)
        for first, end in stretches(cases.histories.offsets, _VALUES_AT_ONCE):
            some = EvaluationSet(
                cases.users[first:end], cases.histories.stretch(first, end), cases.targets.stretch(first, end)
            )
            _check_cases(name, some)
            if kind != "cold_users":
                _check_training(name, some, split.train.take(some.users), kind)


def _check_training(name: str, cases: EvaluationSet, own: Ragged, kind: str) -> None:
    """What users are trained on, beside what is asked of them."""
    found = _first_common(own, cases.targets)
    if found is not None:
        _refuse(
            f"no {name} target in its user's training", f"item code {found[1]} of user code {cases.users[found[0]]}"
        )
    if kind != "cold_items":
        _check_prefix(name, cases, own)


def _check_cases(name: str, cases: EvaluationSet) -> None:
    if not cases.targets.lengths.all():
        _refuse(f"a target in every {name} case", f"none for user code {cases.users[np.argmin(cases.targets.lengths)]}")
    found = _first_common(cases.histories, cases.targets)
    if found is not None:
        _refuse(f"no {name} target in its own history", f"item code {found[1]} of user code {cases.users[found[0]]}")
    repeats = np.flatnonzero(cases.targets.is_repeat())
    if len(repeats):
        row, item = cases.targets.rows[repeats[0]], cases.targets.values[repeats[0]]
        _refuse(f"each {name} target once", f"item code {item} twice for user code {cases.users[row]}")


def _check_cold(name: str, cases: EvaluationSet, split: Split) -> None:
    cold = np.union1d(cases.targets.values, [] if split.candidates is None else split.candidates)
    for place, values in (("training", split.train.values), (f"a {name} history", cases.histories.values)):
        for low in range(0, len(values), _VALUES_AT_ONCE):
            some = values[low : low + _VALUES_AT_ONCE]
            known = some[np.isin(some, cold)]
            if len(known):
                _refuse(f"no held-out item in {place}", f"item code {known[0]:.0f}")


def _check_prefix(name: str, cases: EvaluationSet, own: Ragged) -> None:
    """The training of a user is how the history begins: it has no interaction that the history lacks."""
    longer = own.lengths > cases.histories.lengths
    positions = np.arange(len(own.values)) - np.repeat(own.offsets[:-1], own.lengths)
    differs = np.array(longer[own.rows])
    inside = ~differs
    differs[inside] = (
        cases.histories.values[cases.histories.offsets[own.rows[inside]] + positions[inside]] != own.values[inside]
    )
    if differs.any():
        user = cases.users[own.rows[np.argmax(differs)]]
        _refuse(
            f"training that the {name} history begins with, and nothing later", f"another history for user code {user}"
        )


def _first_common(some: Ragged, others: Ragged) -> tuple[int, int] | None:
    """The row and the code of a value that both have in the same row."""
    places = np.flatnonzero(others.is_in(some))
    return (int(others.rows[places[0]]), int(others.values[places[0]])) if len(places) else None


def _refuse(expected: str, received: str) -> None:
    raise InputError(f"Expected {expected}. Received: {received}. The split leaks: split again, and train again.")
