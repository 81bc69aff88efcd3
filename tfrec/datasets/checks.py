"""Collects what is wrong with the rows of a table, to stop with it or to leave those rows out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa

from tfrec.errors import InputError

_EXAMPLES = 3


class RowNumbers(Protocol):
    """What to call each row of a table."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> int | str: ...


@dataclass(frozen=True)
class _Problem:
    what: str
    count: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.what}: {self.count:,} {'row' if self.count == 1 else 'rows'} ({', '.join(self.examples)})"


@dataclass(frozen=True)
class _Blank:
    column: str
    problem: _Problem
    remedy: str

    def __str__(self) -> str:
        count, examples = self.problem.count, ", ".join(self.problem.examples)
        values = "1 value" if count == 1 else f"{count:,} values"
        return f"{self.column}: {values} left empty ({examples}).{self.remedy and f' {self.remedy}'}"


class RowChecks:
    """The rows of one table that are fit for use, and why the others are not.

    Args:
        file: The file's name, for people.
        numbers: The number of each row as people count, [num_rows]; of several files with the file's name.

    Attributes:
        good: Whether nothing was found wrong with a row so far, bool [num_rows].

    Example:
        >>> checks = RowChecks("items.csv", range(1, 4))
        >>> is_bad = np.array([False, True, False])
        >>> checks.reject(is_bad, "column 'price', expected a number", pa.array(["1", "x", "2"]))
        >>> checks.settle("drop")
        ("items.csv: 1 of 3 rows left out. column 'price', expected a number: 1 row (row 2: 'x').",)
    """

    def __init__(self, file: str, numbers: RowNumbers) -> None:
        self.good = np.ones(len(numbers), bool)
        self._file = file
        self._numbers = numbers
        self._broken = 0
        self._problems: list[_Problem] = []
        self._blanks: list[_Blank] = []
        self._remedies: list[str] = []
        self._has_blank = np.zeros(len(numbers), bool)
        self._unreadable: list[str] = []

    @property
    def total(self) -> int:
        """How many rows the file has, with those that are not in the table."""
        return len(self.good) + self._broken

    def reject(self, bad: np.ndarray, what: str, values: pa.Array | pa.ChunkedArray, remedy: str = "") -> None:
        """Marks the rows of a mask (bool [num_rows]) as unfit.

        Args:
            bad: The rows.
            what: The column, and what was expected in it.
            values: What is there instead, [num_rows].
            remedy: What to do about these in particular, a sentence.
        """
        if bad.any():
            self._problems.append(self._problem(bad, what, values))
            self._remedies += [remedy] * bool(remedy)
            self.good &= ~bad

    def blank(
        self,
        bad: np.ndarray,
        column: str,
        expected: str,
        values: pa.Array | pa.ChunkedArray,
        remedy: str = "",
        is_used: bool = True,
    ) -> None:
        """Counts values of an attribute that cannot be read (bool [num_rows]): their rows stay without them, unless bad
        rows are an error, or the column is used and nothing in it can be read.

        Args:
            bad: The rows.
            column: The attribute.
            expected: What it should hold.
            values: What is there instead, [num_rows].
            remedy: What to do about these in particular, a sentence.
            is_used: Whether anything will be learned from the column.
        """
        if bad.any():
            self._blanks.append(
                _Blank(column, self._problem(bad, f"column '{column}', expected {expected}", values), remedy)
            )
            self._has_blank |= bad
            if is_used and bad.sum() >= len(values) - values.null_count:
                self._unreadable.append(column)

    def _problem(self, bad: np.ndarray, what: str, values: pa.Array | pa.ChunkedArray) -> _Problem:
        rows = np.flatnonzero(bad)
        examples = tuple(f"row {self._numbers[row]}: {_show(_value(values[row]))}" for row in rows[:_EXAMPLES])
        return _Problem(what, len(rows), examples)

    def reject_broken(self, broken: Sequence[tuple[int | str, str]], num_columns: int) -> None:
        """Counts rows (number, text) that could not be divided into columns and are not in the table at all."""
        if broken:
            examples = tuple(f"row {number}: {_show(text)}" for number, text in broken[:_EXAMPLES])
            what = f"expected {num_columns} values in a row"
            self._problems.append(_Problem(what, len(broken), examples))
            self._broken = len(broken)

    def settle(self, bad_rows: Literal["error", "drop"]) -> tuple[str, ...]:
        """What to tell the user about rows that are left out, the ones that are not `good`, and values left empty.

        Raises:
            InputError: There are such rows or values and `bad_rows` is "error", or there are no others.
        """
        if not self._problems and not self._blanks:
            return ()
        unfit = self.total - int(self.good.sum())
        if bad_rows == "error" or unfit == self.total or self._unreadable:
            raise InputError(self._error(unfit))
        notes = tuple(f"{self._file}: {blank}" for blank in self._blanks)
        if unfit:
            problems = "; ".join(str(problem) for problem in self._problems)
            remedies = "".join(f" {remedy}" for remedy in self._remedies)
            notes = (f"{self._file}: {unfit:,} of {self.total:,} rows left out. {problems}.{remedies}", *notes)
        return notes

    def _error(self, unfit: int) -> str:
        lines = "".join(f"\n  - {problem}" for problem in [*self._problems, *(each.problem for each in self._blanks)])
        count = self.total - int((self.good & ~self._has_blank).sum())
        ways = ["Correct them"]
        if self._unreadable:
            ways.append(f"leave {' and '.join(self._unreadable)} undeclared, in which nothing can be read")
        elif unfit < self.total:
            drop = "leave them out" if self._problems else "leave these values empty"
            ways.append(f"{drop} with --bad-rows drop")
        remedies = [f"{', or '.join(ways)}.", *self._remedies, *(each.remedy for each in self._blanks if each.remedy)]
        return (
            f"Expected valid rows in {self._file}. Received {count:,} of {self.total:,} rows that are not:{lines}\n"
            f"Rows are counted from 1, after the header and without blank lines. {' '.join(remedies)}"
        )


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except (ValueError, OverflowError):  # bytes that are no UTF-8, years that Python does not know
        return f"a {scalar.type} that cannot be shown"


def _show(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
