"""Impressions: their order, their past, and how they are divided."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tfrec.config import SplitConfig
from tfrec.datasets import Dataset, Impressions, split_impressions
from tfrec.datasets.assemble import assemble
from tfrec.datasets.impressions import check_labels, check_outcomes
from tfrec.datasets.splits import TEST, TRAINING, VALIDATION
from tfrec.errors import InputError

Row = tuple[int, int, int, float]
"""User, item, time, label."""


def dataset(rows: Sequence[Row], shared_clock: bool = True) -> Dataset:
    users, items, times, labels = zip(*rows, strict=True)
    return assemble(
        "impressions",
        pa.table(
            {
                "user_id": [f"u{user}" for user in users],
                "item_id": [f"i{item}" for item in items],
                "timestamp": list(times),
                "label": pa.array(labels, pa.float32()),
            }
        ),
        pd.DataFrame({"item_id": [f"i{item}" for item in range(max(items) + 1)]}, dtype="str"),
        pd.DataFrame({"user_id": [f"u{user}" for user in range(max(users) + 1)]}, dtype="str"),
        shared_clock=shared_clock,
    )


def divide(rows: Sequence[Row], kind: str, **options: object) -> Impressions:
    return split_impressions(dataset(rows), SplitConfig.model_validate({"kind": kind, "minimum_users": 1} | options))


# In time user 0 meets 2+, 0-, 1+, 3-; user 1 meets 3-, 1+, 0-, 2+.
ROWS = [
    (0, 1, 30, 1),
    (0, 2, 10, 1),
    (1, 3, 1, 0),
    (0, 3, 40, 0),
    (0, 0, 20, 0),
    (1, 1, 2, 1),
    (1, 0, 3, 0),
    (1, 2, 4, 1),
]
# Seven more of the same, so that every part has both labels whatever the split.
MANY = [(user, item, time, (item + user) % 2) for user in range(4) for time, item in enumerate(range(10))]


def test_they_are_ordered_by_user_and_time() -> None:
    impressions = divide(ROWS, "leave_last_out")
    assert impressions.users.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert impressions.items.tolist() == [2, 0, 1, 3, 3, 1, 0, 2]
    assert impressions.labels.tolist() == [1, 0, 1, 0, 0, 1, 0, 1]
    assert impressions.rows.tolist() == [1, 4, 0, 3, 2, 5, 6, 7]
    assert impressions.past.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]


def test_what_was_shown_at_the_same_time_is_in_nobodys_past() -> None:
    # User 0 was shown 1 and 2 at once; user 1's first is at the time of user 0's last.
    first = [(0, 0, 1, 1), (0, 1, 2, 0), (0, 2, 2, 1), (0, 3, 3, 0)]
    rows = [*first, (1, 0, 3, 1), (1, 1, 4, 1), (1, 2, 5, 0), (1, 3, 6, 1)]
    assert divide(rows, "leave_last_out").past.tolist() == [0, 1, 1, 3, 4, 5, 6, 7]


def test_leave_last_out() -> None:
    # User 0 ends with 1+, 3-; user 1 with 0-, 2+: each part has a liked one and another.
    assert divide(ROWS, "leave_last_out").parts.tolist() == [TRAINING, TRAINING, VALIDATION, TEST] * 2


def test_users_with_less_than_three_are_only_trained_on() -> None:
    parts = divide([*ROWS, (2, 0, 1, 1), (2, 1, 2, 0)], "leave_last_out").parts
    assert parts[-2:].tolist() == [TRAINING, TRAINING]


def test_last_fraction_rounds_down() -> None:
    # Ten each: .25 of them are two, .1 is one.
    parts = divide(MANY, "last_fraction", test_fraction=0.25, validation_fraction=0.1).parts
    assert parts.reshape(4, 10).tolist() == [[TRAINING] * 7 + [VALIDATION] + [TEST] * 2] * 4


def test_global_time_cuts_at_the_same_moments_for_all() -> None:
    # 40 impressions at times 0 to 9: the last tenth begins at time 9, the one before at 8.
    parts = divide(MANY, "global_time").parts.reshape(4, 10)
    assert parts.tolist() == [[TRAINING] * 8 + [VALIDATION, TEST]] * 4


def test_global_time_needs_a_shared_clock() -> None:
    with pytest.raises(InputError, match="times that users share"):
        split_impressions(dataset(MANY, shared_clock=False), SplitConfig(kind="global_time", minimum_users=1))


def test_cold_items_are_in_one_part_alone() -> None:
    impressions = divide(MANY, "cold_items", test_fraction=0.2, validation_fraction=0.1)
    parts_of_items = [set(impressions.parts[impressions.items == item]) for item in range(10)]
    assert sorted(parts_of_items, key=str) == [{TRAINING}] * 7 + [{VALIDATION}] + [{TEST}] * 2


def test_the_summary_counts() -> None:
    assert divide(ROWS, "leave_last_out").summary() == (
        "impressions: training 4 (50.0% liked), validation 2 (50.0% liked), test 2 (50.0% liked)."
    )


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(user, item, time, 1.0) for user, item, time, _ in ROWS], "4 liked of 4"),
        ([(user, item, time, label / 2) for user, item, time, label in ROWS], "labels that are 0 or 1. Received: 0.5"),
    ],
)
def test_labels_that_cannot_be_learned_are_refused(rows: list[Row], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_labels(divide(rows, "leave_last_out"), SplitConfig(minimum_users=1))


class TestOutcomes:
    """Twelve impressions, six of each of two users; the last of a user is tested, the one before validated."""

    def impressions(self, *outcomes: list[int]) -> Impressions:
        rows = [(user, item, item, item % 2) for user in range(2) for item in range(6)]
        columns = np.array(outcomes, np.float32).T
        return replace(divide(rows, "leave_last_out"), outcomes=np.tile(columns, (2, 1)))

    def test_each_part_has_some(self) -> None:
        impressions = self.impressions([0, 1, 0, 0, 0, 1])
        with pytest.raises(InputError, match="the outcome 'bought' and some without, in validation"):
            check_outcomes(impressions, ("bought",), "mmoe")

    def test_stages_come_after_each_other(self) -> None:
        parts = np.tile([TRAINING, TRAINING, VALIDATION, VALIDATION, TEST, TEST], 2)
        # Labels are 0, 1, 0, 1, 0, 1.
        impressions = replace(self.impressions([0, 1, 0, 1, 0, 1], [0, 1, 0, 1, 1, 0]), parts=parts)
        check_outcomes(impressions, ("cart", "bought"), "mmoe")
        with pytest.raises(InputError, match=r"'bought' only where there is the label.*2 impressions"):
            check_outcomes(impressions, ("cart", "bought"), "esmm")
        with pytest.raises(InputError, match="'bought' only where there is cart"):
            check_outcomes(impressions, ("cart", "bought"), "jasper")


def test_without_labels_it_says_how_to_get_some() -> None:
    unlabelled = dataset(ROWS)
    del unlabelled.interactions["label"]
    with pytest.raises(InputError, match=r"--column label=COLUMN, or set data\.label_threshold"):
        split_impressions(unlabelled, SplitConfig())


class TestLabelled:
    def rated(self, values: list[float]) -> Dataset:
        rated = dataset(ROWS[: len(values)])
        rated.interactions["value"] = np.array(values, np.float32)
        return rated

    def test_what_reaches_the_threshold_is_liked(self) -> None:
        rated = self.rated([3, 4, 5, np.nan])
        del rated.interactions["label"]
        labelled = rated.labelled(4)
        assert labelled.interactions["label"].tolist() == [0, 1, 1]
        assert labelled.notes == ("1 of 4 interactions have no value: left out.",)

    def test_labels_that_are_there_are_not_replaced(self) -> None:
        with pytest.raises(InputError, match="without 'label'"):
            self.rated([3, 4]).labelled(4)
