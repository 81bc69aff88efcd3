"""The validated tables that everything else is computed from."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import pandas as pd

from tfrec.datasets.ordering import by_group_and_time, stretches
from tfrec.errors import InputError


@dataclass(frozen=True)
class Roles:
    """Which columns of a table are what. Declared once, by the loader.

    Attributes:
        text, categorical, numeric, vector: Names of columns.
        separators: Of categorical columns whose values hold several categories, what stands between them.
    """

    text: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    numeric: tuple[str, ...] = ()
    vector: tuple[str, ...] = ()
    separators: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """All of them, in the order text, categorical, numeric, vector."""
        return self.text + self.categorical + self.numeric + self.vector


@dataclass(frozen=True)
class Dataset:
    """Interactions, items and users, validated. Codes are row numbers: item code 7 is row 7 of `items`.

    Attributes:
        name: Shown to people.
        interactions: In the order of the source. `user_id` and `item_id` are categoricals whose codes are the row
            numbers in `users` and `items` (`user_codes` and `item_codes` give them as int32); `timestamp` is int64 or
            float64, seconds where the source has times, a position otherwise; `event` (categorical with nulls),
            `label` (float32) and `value` (float32 with NaN) where there are such.
        items: `item_id` (string, unique) and the columns of `item_roles`: text is string without nulls, categorical
            is string with nulls, numeric is float32 with NaN, vector is one float32 array of fixed length a row
            (zeros where it is missing).
        users: `user_id` (string, unique) and the columns of `user_roles`. Every user of the interactions is here.
        context_roles: Columns of the interactions that are known when an item is shown: where, on what device, when.
        outcomes: Columns of the interactions that are 0 or 1 (float32), known afterwards, as the label is.
        title: The text column of `items` to show to people, or None.
        notes: What validation counted (dropped rows, unknown items), one sentence each, for the user to read.
        shared_clock: Whether timestamps of different users can be compared. False: they are positions within each
            user's own history, and only order it.
        has_times: Whether timestamps are times, so that their differences are seconds. False: they are positions, and
            only order.
    """

    name: str
    interactions: pd.DataFrame
    items: pd.DataFrame
    users: pd.DataFrame
    item_roles: Roles = Roles()
    user_roles: Roles = Roles()
    context_roles: Roles = Roles()
    outcomes: tuple[str, ...] = ()
    title: str | None = None
    notes: tuple[str, ...] = field(default=())
    shared_clock: bool = True
    has_times: bool = True

    @property
    def num_items(self) -> int:
        """Size of the catalogue."""
        return len(self.items)

    @property
    def num_users(self) -> int:
        """All users, those without interactions too."""
        return len(self.users)

    @property
    def user_codes(self) -> np.ndarray:
        """The user of each interaction, int32 [num_interactions]."""
        return self.interactions["user_id"].cat.codes.to_numpy(np.int32)

    @property
    def item_codes(self) -> np.ndarray:
        """The item of each interaction, int32 [num_interactions]."""
        return self.interactions["item_id"].cat.codes.to_numpy(np.int32)

    @property
    def order(self) -> np.ndarray:
        """The rows of the interactions by user, time and row, int32 or int64 [num_interactions]."""
        return by_group_and_time(self.user_codes, self.interactions["timestamp"].to_numpy())

    def positives(self, events: tuple[str, ...] = ()) -> Self:
        """Only the interactions that say what to recommend: of these events, and with a label above 0.

        Items and users stay, with and without interactions; the notes count what was left out. What ranks needs the
        others too, and takes the data set as it was.

        Args:
            events: What counts, as `event` has it. Empty: every event, and rows without one.

        Raises:
            InputError: There is no such event, or no interaction is left.

        Example:
            >>> dataset.positives(("purchase",)).notes
            ('90 of 100 interactions are no purchase: left out.',)
        """
        rows = self.interactions
        keep, notes = np.ones(len(rows), bool), list[str]()
        if events:
            is_event = _is_one_of(events, rows)
            notes += _count(keep & ~is_event, f"are no {' or '.join(events)}")
            keep &= is_event
        if "label" in rows:
            is_liked = rows["label"].to_numpy() > 0
            notes += _count(keep & ~is_liked, "have a label of 0 or less")
            keep &= is_liked
        if not keep.any():
            raise InputError(
                "Expected interactions that count, of the events in data.events and with a label above 0. "
                f"Received: none. {' '.join(notes)} Name other events, or map another column as label."
            )
        if keep.all():
            return self
        return replace(self, interactions=rows[keep].reset_index(drop=True), notes=(*self.notes, *notes))

    def labelled(self, threshold: float) -> Self:
        """The same with labels: 1 where an interaction's value reaches the threshold, else 0.

        Interactions without a value are left out, and counted in the notes.

        Raises:
            InputError: There are no values, or there are labels already; or no interaction has a value.
        """
        rows = self.interactions
        if "value" not in rows or "label" in rows:
            raise InputError(
                "Expected interactions with a column 'value' and without 'label', for data.label_threshold. "
                f"Received: {list(rows)}. Map it with --column value=COLUMN, or leave data.label_threshold out."
            )
        values = rows["value"].to_numpy()
        has_value = ~np.isnan(values)
        if not has_value.any():
            raise InputError("Expected interactions with a value, for data.label_threshold. Received: none has one.")
        rows = rows.assign(label=(values >= threshold).astype(np.float32))
        notes = _count(~has_value, "have no value")
        return replace(self, interactions=rows[has_value].reset_index(drop=True), notes=(*self.notes, *notes))


def _is_one_of(events: tuple[str, ...], interactions: pd.DataFrame) -> np.ndarray:
    """Whether an interaction is of these events, bool [num_interactions]."""
    if "event" not in interactions:
        raise InputError(
            f"Expected interactions with a column 'event', of which data.events names {list(events)}. "
            f"Received: {list(interactions)}. Map it with --column event=COLUMN, or leave data.events empty."
        )
    names = interactions["event"].cat.categories
    codes = interactions["event"].cat.codes.to_numpy()
    occurs = np.bincount(codes.astype(np.intp) + 1, minlength=len(names) + 1)[1:] > 0
    unknown = sorted(set(events) - set(names[occurs]))
    if unknown:
        raise InputError(
            f"Expected data.events to name events that occur: {sorted(names[occurs])}. Received: {unknown}."
        )
    return np.append(names.isin(events), False)[codes]  # the last: for what has no event, code -1


def _count(left_out: np.ndarray, why: str) -> list[str]:
    count = np.count_nonzero(left_out)
    return [f"{count:,} of {len(left_out):,} interactions {why}: left out."] if count else []


_VALUES_AT_ONCE = 1 << 18
"""So many values of rows are looked at together, so that what is computed of them stays small."""


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


@dataclass(frozen=True)
class EvaluationSet:
    """What is asked of a model, and the right answers.

    Attributes:
        users: User codes, int32 [num_cases].
        histories: What each user did before, oldest first; the model may look at nothing later. [num_cases] rows,
            with the context that the split was asked to keep.
        targets: What each user did next: the relevant items. No target is in its own history. [num_cases] rows,
            none of them empty; without context, which is not to be known in advance.
    """

    users: np.ndarray
    histories: Ragged
    targets: Ragged

    def __len__(self) -> int:
        return len(self.users)

    def drawn(self, most: int | None, seed: int) -> "EvaluationSet":
        """So many of the cases, in order, drawn evenly; all, if there are no more or it is None."""
        if most is None or len(self) <= most:
            return self
        rows = np.sort(np.random.default_rng(seed).permutation(len(self))[:most])
        return EvaluationSet(self.users[rows], self.histories.take(rows), self.targets.take(rows))


@dataclass(frozen=True)
class Split:
    """A data set, divided.

    Attributes:
        train: Each user's training interactions, oldest first: row u is user code u (may be empty). With the context
            that the split was asked to keep.
        validation: Picks the epoch.
        test: Reported.
        candidates: The item codes that evaluation ranks, int32 [num_candidates]; None: the whole catalogue.
        notes: What the split left out, one sentence each.
    """

    train: Ragged
    validation: EvaluationSet
    test: EvaluationSet
    candidates: np.ndarray | None = None
    notes: tuple[str, ...] = ()
