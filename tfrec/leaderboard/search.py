"""The choice of hyperparameters."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tfrec.evaluation import Recommender
from tfrec.leaderboard.entries import Entry, reading


@dataclass(frozen=True)
class Trial:
    """One choice of hyperparameters, fitted and measured.

    Attributes:
        recommender: Fitted; reads so much of a history as was chosen.
        parameters: All that was chosen, `history_length` too if it is not all.
        value: What was measured of it; more is better.
        seconds: How long the fit took.
    """

    recommender: Recommender
    parameters: dict[str, Any]
    value: float
    seconds: float


def search(
    entry: Entry,
    measure: Callable[[Recommender], float],
    is_tuned: bool = True,
    advance: Callable[[int], object] = lambda number: None,
) -> Trial:
    """The best choice that is found by turning to one hyperparameter after another.

    First how much of a history is read, with the defaults of the rest; then each hyperparameter in turn, those before
    it as they were chosen. So the trials are as many as the sum of the choices and not their product, and there may be
    more of each.

    Args:
        entry: What is to be chosen of.
        measure: What is to be as large as possible.
        is_tuned: Else the defaults are taken.
        advance: Is told of each trial.
    """
    best: Trial | None = None
    lengths = entry.history_lengths if is_tuned else entry.history_lengths[:1]

    def attempt(chosen: dict[str, Any]) -> Trial:
        start = time.perf_counter()
        fitted = entry.fit(**chosen)
        seconds = time.perf_counter() - start
        found = best
        for length in lengths:
            recommender = reading(fitted, length)
            value = measure(recommender)
            if found is None or value > found.value:
                told = {} if length is None else {"history_length": length}
                found = Trial(recommender, {**chosen, **told}, value, seconds)
            advance(1)
        assert found is not None
        return found

    best = attempt({name: values[0] for name, values in entry.choices.items()})
    lengths = (best.parameters.get("history_length"),)
    for name, values in entry.choices.items() if is_tuned else ():
        for value in values[1:]:
            kept = {other: best.parameters[other] for other in entry.choices}
            best = attempt({**kept, name: value})
    return best
