"""What was done, and when: what a history can tell beside its items."""

import numpy as np

from tfrec.config import FeaturesConfig
from tfrec.datasets.dataset import Dataset
from tfrec.datasets.ordering import stretches
from tfrec.datasets.ragged import Ragged
from tfrec.errors import InputError

EVENT, TIME = "event", "timestamp"

_AT_ONCE = 1 << 20  # interactions that are looked at together

_NO_SECONDS = 1e11
"""In seconds since 1970, the year 5138: such numbers are milliseconds or finer."""


def history_context(dataset: Dataset, config: FeaturesConfig) -> tuple[str, ...]:
    """The columns of the interactions that `config` wants known beside a history's items, for `split_dataset` to keep.

    Whether a number is a time can't be seen from it. What can be known is refused: a position that is declared to be
    one, the numbers of the rows, gaps that are all alike, and what would be too far in the future as seconds.

    Returns:
        `event` if `config.history_events`, `timestamp` if `config.history_time_gaps`.

    Raises:
        InputError: There are no events, or no times.
    """
    if config.history_events and EVENT not in dataset.interactions:
        raise InputError(
            "Expected interactions with a column 'event', for features.history_events. "
            f"Received: {list(dataset.interactions)}. Map it with --column event=COLUMN, or leave "
            "features.history_events off."
        )
    if config.history_time_gaps and (problem := _why_no_times(dataset)):
        raise InputError(
            "Expected interactions with times, dates or seconds, for features.history_time_gaps. "
            f"Received: {problem} Map a column of times with --column timestamp=COLUMN, or leave "
            "features.history_time_gaps off."
        )
    asked = {EVENT: config.history_events, TIME: config.history_time_gaps}
    return tuple(name for name, is_asked in asked.items() if is_asked)


def _why_no_times(dataset: Dataset) -> str:
    """One sentence; empty if they may be times."""
    if not dataset.has_times:
        return "positions, which only say what came before what."
    histories = dataset.by_user([TIME])
    gaps = set[float]()
    lowest, highest = np.inf, -np.inf
    for first, end in stretches(histories.offsets, _AT_ONCE):
        some = histories.load(first, end)
        times = some.context[TIME]
        if len(times):
            lowest, highest = min(lowest, times.min()), max(highest, times.max())
            if len(gaps) < 2:
                within = np.diff(some.rows) == 0
                gaps |= set(np.unique(np.diff(times)[within])[:2].tolist())
    largest = lowest if abs(lowest) > abs(highest) else highest
    if abs(largest) >= _NO_SECONDS and len(histories.values):
        return f"numbers like {largest}, which as seconds are no date; divide milliseconds by 1,000."
    if _are_numbers_of_rows(histories, lowest, highest):
        return "the numbers of the rows."
    if len(gaps) == 1:
        return f"the same difference, {gaps.pop()}, between any two interactions of a user in a row."
    return ""


def _are_numbers_of_rows(histories: Ragged, lowest: float, highest: float) -> bool:
    """Whether each whole number from the lowest to the highest is a time once."""
    number = len(histories.values)
    if number < 2 or highest - lowest != number - 1:
        return False
    is_there = np.zeros(number, bool)
    for first, end in stretches(histories.offsets, _AT_ONCE):
        places = histories.load(first, end).context[TIME] - lowest
        if (places != np.floor(places)).any():
            return False
        is_there[places.astype(np.intp)] = True
    return bool(is_there.all())
