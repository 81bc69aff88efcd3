"""Rows of different lengths, end to end, in memory or on the disk."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np

from tfrec.datasets.ordering import by_group_and_time, stretches

_VALUES_AT_ONCE = 1 << 18
"""So many values of rows are looked at together, so that what is computed of them stays small."""

_COUNTED_AT_ONCE = 1 << 22
"""So many are counted together: more, as the counts of all codes are added each time."""


@dataclass(frozen=True)
class Ragged:
    """Rows of item codes of different lengths, stored end to end.

    Row i is `values[offsets[i]:offsets[i + 1]]`. The arrays may be memory-mapped files.

    Attributes:
        values: int32 [total]
        offsets: int64 [num_rows + 1]
        context: What else is known of each value, by name: arrays [total], which `where` and `take` keep aligned.

    Example:
        >>> rows = Ragged.from_lengths(np.array([5, 6, 7], np.int32), np.array([2, 0, 1]))
        >>> rows[2]
        array([7], dtype=int32)
    """

    values: np.ndarray
    offsets: np.ndarray
    context: Mapping[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def from_lengths(
        cls, values: np.ndarray, lengths: np.ndarray, context: Mapping[str, np.ndarray] | None = None
    ) -> Self:
        """Cuts `values`, and the context beside them, into rows of the given lengths, which add up to it."""
        return cls(values, np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]), context or {})

    @classmethod
    def concatenate(cls, parts: "list[Self]") -> Self:
        """The rows of all parts, one or more, one after the other. Takes them from the list: only one array is twice in
        memory at a time."""
        lengths = np.concatenate([part.lengths for part in parts])
        values = [part.values for part in parts]
        context = {name: [part.context[name] for part in parts] for name in parts[0].context}
        parts.clear()
        joined = np.concatenate(values)
        values.clear()
        return cls.from_lengths(joined, lengths, {name: np.concatenate(arrays) for name, arrays in context.items()})

    @property
    def lengths(self) -> np.ndarray:
        """Entries of each row, int64 [num_rows]."""
        return np.diff(self.offsets)

    @property
    def rows(self) -> np.ndarray:
        """The row that each value is in, int64 [total]."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def where(self, keep: np.ndarray) -> Self:
        """The same rows with only the values that the mask (bool [total]) keeps."""
        return type(self).from_lengths(self.values[keep], self.count(keep), self._context_at(keep))

    def count(self, mask: np.ndarray) -> np.ndarray:
        """How many values of each row a mask (bool [total]) has, int64 [num_rows]."""
        counts = np.zeros(len(self), np.int64)
        is_filled = self.lengths > 0
        if is_filled.any():
            counts[is_filled] = np.add.reduceat(mask, self.offsets[:-1][is_filled], dtype=np.int64)
        return counts

    def count_values(self, number: int) -> np.ndarray:
        """How often each of so many codes is a value, int64 [number]. Values below 0 are not counted."""
        counts = np.zeros(number + 1, np.int64)
        for low in range(0, len(self.values), _COUNTED_AT_ONCE):
            some = np.maximum(stretch(self.values, low, low + _COUNTED_AT_ONCE), -1)
            counts += np.bincount(some + 1, minlength=number + 1)
        return counts[1:]

    def take(self, rows: np.ndarray) -> Self:
        """Only these rows (numbers or a mask), in this order. Rows that are all there is share their memory."""
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.intp)
        starts = self.offsets[rows]
        lengths = self.offsets[rows + 1] - starts
        total = int(lengths.sum())
        in_order = bool((rows[1:] > rows[:-1]).all())
        if in_order and total == len(self.values):
            return type(self).from_lengths(self.values, lengths, self.context)
        if in_order and 2 * total > len(self.values):  # positions would need 16 bytes a value
            is_taken = np.zeros(len(self), bool)
            is_taken[rows] = True
            keep = np.repeat(is_taken, self.lengths)
            return type(self).from_lengths(self.values[keep], lengths, self._context_at(keep))
        taken = type(self).from_lengths(np.empty(0, self.values.dtype), lengths)
        positions = np.arange(total) + np.repeat(starts - taken.offsets[:-1], lengths)
        return type(self)(self.values[positions], taken.offsets, self._context_at(positions))

    def stretch(self, first: int, end: int) -> Self:
        """The rows from `first` on that are before `end`, in the same memory."""
        low, high = self.offsets[first], self.offsets[end]
        context = {name: array[low:high] for name, array in self.context.items()}
        return type(self)(self.values[low:high], self.offsets[first : end + 1] - low, context)

    def load(self, first: int, end: int) -> Self:
        """A copy of the rows from `first` on that are before `end`, in memory."""
        low, high = self.offsets[first], self.offsets[end]
        context = {name: stretch(array, low, high) for name, array in self.context.items()}
        return type(self)(stretch(self.values, low, high), self.offsets[first : end + 1] - low, context)

    def last(self, number: int) -> Self:
        """The same rows with their last values alone."""
        return self.where(np.repeat(self.offsets[1:], self.lengths) - np.arange(len(self.values)) <= number)

    def is_in(self, others: "Ragged") -> np.ndarray:
        """Whether each value is among those of the same row of `others`, bool [total]."""
        found = np.zeros(len(self.values), bool)
        if not len(self.values) or not len(others.values):
            return found
        # Of both, only what may be equal is sorted and searched: where few values meet long rows, it is little.
        places, theirs = np.flatnonzero(self._may_be_in(others)), np.flatnonzero(others._may_be_in(self))
        if len(places) and len(theirs):
            size = np.int64(max(self.values.max(), others.values.max())) + 1
            keys, known = self._keys(places, size), np.sort(others._keys(theirs, size))
            found[places] = known.take(np.searchsorted(known, keys), mode="clip") == keys
        return found

    def _may_be_in(self, others: "Ragged") -> np.ndarray:
        """Whether the same row of `others` has a value with the same last 6 bits, bool [total]."""
        sets = np.zeros(max(len(self), len(others)), np.uint64)
        is_filled = others.lengths > 0
        for low, high in stretches(others.offsets, _VALUES_AT_ONCE):
            bits = _bits(others.values[others.offsets[low] : others.offsets[high]])
            filled = is_filled[low:high]
            if filled.any():
                starts = others.offsets[low:high][filled] - others.offsets[low]
                sets[low:high][filled] = np.bitwise_or.reduceat(bits, starts)
        may_be, lengths = np.zeros(len(self.values), bool), self.lengths
        for low, high in stretches(self.offsets, _VALUES_AT_ONCE):
            inside = slice(self.offsets[low], self.offsets[high])
            may_be[inside] = (np.repeat(sets[low:high], lengths[low:high]) & _bits(self.values[inside])) > 0
        return may_be

    def _keys(self, places: np.ndarray, size: np.int64) -> np.ndarray:
        """One number for row and value at each of these places, int64."""
        rows = np.searchsorted(self.offsets, places, side="right") - 1
        return rows * size + self.values[places]

    def is_repeat(self) -> np.ndarray:
        """Whether each value stands in its row before, bool [total]."""
        repeats = np.zeros(len(self.values), bool)
        if self.lengths.max(initial=0) > 1:
            rows = self.rows.astype(np.int32)
            order = by_group_and_time(rows, self.values.astype(np.int64))
            rows, values = rows[order], self.values[order]
            repeats[order[1:]] = (rows[1:] == rows[:-1]) & (values[1:] == values[:-1])
        return repeats

    def _context_at(self, positions: np.ndarray) -> dict[str, np.ndarray]:
        return {name: array[positions] for name, array in self.context.items()}

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> np.ndarray:
        return self.values[self.offsets[row] : self.offsets[row + 1]]


def _bits(values: np.ndarray) -> np.ndarray:
    """One of 64 bits for each value, uint64: that of its last 6 bits."""
    return np.left_shift(np.uint64(1), (values & 63).astype(np.uint64))


def stretch(array: np.ndarray, low: int, high: int) -> np.ndarray:
    """A copy of `array[low:high]`, of one dimension. An array that lies on the disk is read from there, not through its
    mapping, whose pages would count as this process's memory."""
    high = min(high, len(array))
    if not isinstance(array, np.memmap) or array.filename is None:
        return np.array(array[low:high])
    offset = array.offset + low * array.itemsize
    return np.fromfile(array.filename, array.dtype, max(high - low, 0), offset=offset)


def mapped(array: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """What a function of single values makes of an array; of a memory-mapped file a stretch at a time, in a new file
    beside it."""
    if not isinstance(array, np.memmap) or array.filename is None:
        return function(array)
    with tempfile.NamedTemporaryFile(dir=Path(array.filename).parent, suffix=".bin", delete=False) as file:
        for low in range(0, len(array), _COUNTED_AT_ONCE):
            function(stretch(array, low, low + _COUNTED_AT_ONCE)).tofile(file)
    return np.memmap(file.name, function(array[:0]).dtype, "r")
