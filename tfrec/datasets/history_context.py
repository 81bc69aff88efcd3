"""What was done, and when: what a history can tell beside its items."""

import numpy as np

from tfrec.config import FeaturesConfig
from tfrec.datasets.dataset import Dataset
from tfrec.errors import InputError

EVENT, TIME = "event", "timestamp"

_NO_SECONDS = 1e11
"""In seconds since 1970, the year 5138: such numbers are milliseconds or finer."""


def history_context(dataset: Dataset, config: FeaturesConfig) -> dict[str, np.ndarray]:
    """What `config` wants known of each interaction, for `split_dataset` to keep beside the items.

    Whether a number is a time can't be seen from it. What can be known is refused: a position that is declared to be
    one, the numbers of the rows, gaps that are all alike, and what would be too far in the future as seconds.

    Returns:
        `event` int32 [num_interactions], codes of the column's categories, -1 where there is none, if
        `config.history_events`; `timestamp` int64 [num_interactions], in seconds, if `config.history_time_gaps`.

    Raises:
        InputError: There are no events, or no times.
    """
    context = {}
    if config.history_events:
        if "event" not in dataset.interactions:
            raise InputError(
                "Expected interactions with a column 'event', for features.history_events. "
                f"Received: {list(dataset.interactions)}. Map it with --column event=COLUMN, or leave "
                "features.history_events off."
            )
        context[EVENT] = dataset.interactions["event"].cat.codes.to_numpy(np.int32)
    if config.history_time_gaps:
        timestamps = dataset.interactions["timestamp"].to_numpy()
        if problem := _why_no_times(dataset, timestamps):
            raise InputError(
                "Expected interactions with times, dates or seconds, for features.history_time_gaps. "
                f"Received: {problem} Map a column of times with --column timestamp=COLUMN, or leave "
                "features.history_time_gaps off."
            )
        context[TIME] = np.floor(timestamps).astype(np.int64)
    return context


def _why_no_times(dataset: Dataset, timestamps: np.ndarray) -> str:
    """One sentence; empty if they may be times."""
    if not dataset.has_times:
        return "positions, which only say what came before what."
    largest = timestamps[np.argmax(np.abs(timestamps))] if len(timestamps) else 0
    if abs(largest) >= _NO_SECONDS:
        return f"numbers like {largest}, which as seconds are no date; divide milliseconds by 1,000."
    if len(timestamps) > 1 and (np.diff(np.sort(timestamps)) == 1).all():
        return "the numbers of the rows."
    order = dataset.order
    users, times = dataset.user_codes[order], timestamps[order]
    gaps = np.diff(times)[users[1:] == users[:-1]]
    if len(gaps) and (gaps == gaps[0]).all():
        return f"the same difference, {gaps[0]}, between any two interactions of a user in a row."
    return ""
