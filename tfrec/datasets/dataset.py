"""The validated tables that everything else is computed from."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Roles:
    """Which columns of a table are what. Declared once, by the loader."""

    text: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    numeric: tuple[str, ...] = ()
    vector: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """Interactions, items and users, validated. Codes are row numbers: item code 7 is row 7 of `items`.

    Attributes:
        name: Shown to people.
        interactions: In the order of the source. `user_id` and `item_id` are categoricals whose codes (int32) are
            the row numbers in `users` and `items`; `timestamp` is int64 or float64, seconds where the source has
            times, a position otherwise; `event` (categorical), `label` and `value` (float32) where there are such.
        items: `item_id` (string, unique) and the columns of `item_roles`: text is string without nulls, categorical
            is string with nulls, numeric is float32 with NaN, vector is one float32 array of fixed length a row.
        users: `user_id` (string, unique) and the columns of `user_roles`. Every user of the interactions is here.
        title: The text column of `items` to show to people, or None.
        notes: What validation counted (dropped rows, unknown items), one sentence each, for the user to read.
    """

    name: str
    interactions: pd.DataFrame
    items: pd.DataFrame
    users: pd.DataFrame
    item_roles: Roles = Roles()
    user_roles: Roles = Roles()
    title: str | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def num_items(self) -> int:
        return len(self.items)

    @property
    def num_users(self) -> int:
        return len(self.users)


@dataclass(frozen=True)
class Ragged:
    """Rows of item codes of different lengths, stored end to end.

    Row i is `values[offsets[i]:offsets[i + 1]]`.

    Attributes:
        values: int32 [total]
        offsets: int64 [num_rows + 1]
    """

    values: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> np.ndarray:
        return self.values[self.offsets[row] : self.offsets[row + 1]]


@dataclass(frozen=True)
class EvaluationSet:
    """What is asked of a model, and the right answers.

    Attributes:
        users: User codes, int32 [num_cases].
        histories: What each user did before, oldest first; the model may look at nothing later. [num_cases] rows.
        targets: What each user did next: the relevant items. No target is in its own history. [num_cases] rows,
            none of them empty.
    """

    users: np.ndarray
    histories: Ragged
    targets: Ragged

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True)
class Split:
    """A data set, divided.

    Attributes:
        train: Each user's training interactions, oldest first: row u is user code u (may be empty).
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
