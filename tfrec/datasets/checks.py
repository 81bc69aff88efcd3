"""Collects what is wrong with the rows of a table, to stop with it or to leave those rows out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from tfrec.errors import InputError

_EXAMPLES = 3


@dataclass(frozen=True)
class _Problem:
    what: str
    count: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.what}: {self.count:,} {'row' if self.count == 1 else 'rows'} ({', '.join(self.examples)})"


class RowChecks:
    """The rows of one table that are fit for use, and why the others are not.

    Args:
        file: The file's name, for people.
        numbers: The number of each row as people count, [num_rows].

    Attributes:
        good: Whether nothing was found wrong with a row so far, bool [num_rows].

    Example:
        >>> checks = RowChecks("items.csv", range(1, 4))
        >>> is_bad = np.array([False, True, False])
        >>> checks.reject(is_bad, "column 'price', expected a number", pa.array(["1", "x", "2"]))
        >>> checks.settle("drop")
        ("items.csv: 1 of 3 rows left out. column 'price', expected a number: 1 row (row 2: 'x').",)
    """

    def __init__(self, file: str, numbers: Sequence[int] | np.ndarray) -> None:
        self.good = np.ones(len(numbers), bool)
        self._file = file
        self._numbers = numbers
        self._broken = 0
        self._problems: list[_Problem] = []

    def reject(self, bad: np.ndarray, what: str, values: pa.Array | pa.ChunkedArray) -> None:
        """Marks the rows of a mask (bool [num_rows]) as unfit.

        Args:
            bad: The rows.
            what: The column, and what was expected in it.
            values: What is there instead, [num_rows].
        """
        rows = np.flatnonzero(bad)
        if len(rows):
            examples = tuple(f"row {self._numbers[row]}: {_show(_value(values[row]))}" for row in rows[:_EXAMPLES])
            self._problems.append(_Problem(what, len(rows), examples))
            self.good &= ~bad

    def reject_broken(self, broken: list[tuple[int, str]], num_columns: int) -> None:
        """Counts rows (number, text) that could not be divided into columns and are not in the table at all."""
        if broken:
            examples = tuple(f"row {number}: {_show(text)}" for number, text in broken[:_EXAMPLES])
            what = f"expected {num_columns} values in a row"
            self._problems.append(_Problem(what, len(broken), examples))
            self._broken = len(broken)

    def settle(self, bad_rows: Literal["error", "drop"]) -> tuple[str, ...]:
        """What to tell the user about rows that are left out: the ones that are not `good`.

        Raises:
            InputError: There are such rows and `bad_rows` is "error", or there are no others.
        """
        if not self._problems:
            return ()
        total = len(self.good) + self._broken
        unfit = total - int(self.good.sum())
        if bad_rows == "error" or unfit == total:
            lines = "".join(f"\n  - {problem}" for problem in self._problems)
            remedy = "Correct them" if unfit == total else "Correct them, or leave them out with --bad-rows drop"
            raise InputError(
                f"Expected valid rows in {self._file}. Received {unfit:,} of {total:,} rows that are not:{lines}\n"
                f"Rows are counted from 1, after the header and without blank lines. {remedy}."
            )
        return (
            f"{self._file}: {unfit:,} of {total:,} rows left out. "
            + "; ".join(str(problem) for problem in self._problems)
            + ".",
        )


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except (ValueError, OverflowError):  # bytes that are no UTF-8, years that Python does not know
        return f"a {scalar.type} that cannot be shown"


def _show(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
