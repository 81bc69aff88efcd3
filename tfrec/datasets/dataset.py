"""The validated tables that everything else is computed from."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import pandas as pd

from tfrec.datasets.ordering import by_group_and_time, gather
from tfrec.datasets.ragged import Ragged
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
        log: What `by_user` gives, of interactions that lie on the disk, where they are too many for the memory.
            `interactions` has no rows then, and still tells the columns and the categories of `event`.
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
    log: Ragged | None = None

    @property
    def num_interactions(self) -> int:
        """In memory or on the disk."""
        return len(self.interactions) if self.log is None else len(self.log.values)

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

    def by_user(self, columns: Collection[str] = ()) -> Ragged:
        """The items of each user, oldest first, those of a time in the order of the source: row u is user code u.

        Args:
            columns: Of the interactions, what the context holds of each: `event` as codes (int32, -1 where there is
                none), others as they are.
        """
        if self.log is not None:
            return replace(self.log, context={name: self.log.context[name] for name in columns})
        order = self.order
        return Ragged.from_lengths(
            gather(self.item_codes, order),
            np.bincount(self.user_codes, minlength=self.num_users),
            {name: gather(self._column(name), order) for name in columns},
        )

    def _column(self, name: str) -> np.ndarray:
        values = self.interactions[name]
        return values.cat.codes.to_numpy(np.int32) if name == "event" else values.to_numpy()

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
            is_event = is_of_events(events, rows)
            _require_events(events, rows)
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
        is_valued = has_value(rows)
        values = rows["value"].to_numpy()
        if not is_valued.any():
            raise InputError("Expected interactions with a value, for data.label_threshold. Received: none has one.")
        rows = rows.assign(label=(values >= threshold).astype(np.float32))
        notes = _count(~is_valued, "have no value")
        return replace(self, interactions=rows[is_valued].reset_index(drop=True), notes=(*self.notes, *notes))


def _require_events(events: tuple[str, ...], interactions: pd.DataFrame) -> None:
    """Whether there are such events."""
    names = interactions["event"].cat.categories
    codes = interactions["event"].cat.codes.to_numpy()
    occurs = np.bincount(codes.astype(np.intp) + 1, minlength=len(names) + 1)[1:] > 0
    unknown = sorted(set(events) - set(names[occurs]))
    if unknown:
        raise InputError(
            f"Expected data.events to name events that occur: {sorted(names[occurs])}. Received: {unknown}."
        )


def is_of_events(events: tuple[str, ...], interactions: pd.DataFrame) -> np.ndarray:
    """Whether an interaction is of these events, bool [num_interactions].

    Raises:
        InputError: The interactions have no column of events.
    """
    if "event" not in interactions:
        raise InputError(
            f"Expected interactions with a column 'event', of which data.events names {list(events)}. "
            f"Received: {list(interactions)}. Map it with --column event=COLUMN, or leave data.events empty."
        )
    names = interactions["event"].cat.categories
    codes = interactions["event"].cat.codes.to_numpy()
    return np.append(names.isin(events), False)[codes]  # the last: for what has no event, code -1


def has_value(interactions: pd.DataFrame) -> np.ndarray:
    """Whether an interaction has a value, for `data.label_threshold` to label it: bool [num_interactions].

    Raises:
        InputError: The interactions have no column of values, or labels already.
    """
    if "value" not in interactions or "label" in interactions:
        raise InputError(
            "Expected interactions with a column 'value' and without 'label', for data.label_threshold. "
            f"Received: {list(interactions)}. Map it with --column value=COLUMN, or leave data.label_threshold out."
        )
    return ~np.isnan(interactions["value"].to_numpy())


def _count(left_out: np.ndarray, why: str) -> list[str]:
    count = np.count_nonzero(left_out)
    return [f"{count:,} of {len(left_out):,} interactions {why}: left out."] if count else []


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
