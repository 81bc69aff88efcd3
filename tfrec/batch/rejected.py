"""Rows that a pipeline can't use: kept with the reason, and counted."""

import json
from collections.abc import Mapping
from typing import Any

from apache_beam import pvalue
from apache_beam.metrics import Metrics

NAMESPACE = "tfrec.batch"
REJECTED = "rejected"
"""The output of a DoFn that rejected rows leave by; and, with ": REASON" behind it, the counter of each reason."""


class Counters:
    """Beam's counters by name, each made once."""

    def __init__(self) -> None:
        self._counters: dict[str, Any] = {}

    def add(self, name: str, number: int = 1) -> None:
        """Counts up."""
        if name not in self._counters:
            self._counters[name] = Metrics.counter(NAMESPACE, name)
        self._counters[name].inc(number)


def reject(counters: Counters, reason: str, detail: str, row: Mapping[str, Any] | str) -> pvalue.TaggedOutput:
    """A rejected row, counted.

    Args:
        counters: The DoFn's.
        reason: One of few, since each has a counter.
        detail: What exactly was expected and received.
        row: The row's values by column, or its text where it has none.
    """
    counters.add(REJECTED)
    counters.add(f"{REJECTED}: {reason}")
    record = {"reason": reason, "detail": detail, "row": row}
    # Bytes that are no UTF-8 are escaped as Python's surrogates: the line itself is ASCII.
    return pvalue.TaggedOutput(REJECTED, json.dumps(record, default=str))
