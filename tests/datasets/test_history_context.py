"""What was done, and when: read where it is known, refused where it is not."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tfrec.config import DataConfig, FeaturesConfig, TableConfig
from tfrec.datasets import Dataset, history_context
from tfrec.datasets.assemble import assemble
from tfrec.datasets.tables import load_tables
from tfrec.errors import InputError

EVENTS = FeaturesConfig(history_events=True)
TIMES = FeaturesConfig(history_time_gaps=True)


def dataset(times: list[float], events: list[str | None] | None = None, **options: bool) -> Dataset:
    """Users a and b take turns."""
    columns = {
        "user_id": ["a", "b"] * (len(times) // 2),
        "item_id": [f"i{row}" for row in range(len(times))],
        "timestamp": times,
    }
    if events is not None:
        columns["event"] = pa.array(events).dictionary_encode()
    return assemble("diary", pa.table(columns), **options)


def test_columns_that_are_asked_for() -> None:
    diary = dataset([10.9, 20.0, -1.5, 70.0], ["view", None, "buy", "view"])
    assert history_context(diary, FeaturesConfig(history_events=True, history_time_gaps=True)) == ("event", "timestamp")
    assert history_context(diary, EVENTS) == ("event",)
    assert history_context(dataset([1, 2, 3, 4]), FeaturesConfig()) == ()


def test_what_they_hold_is_by_user_and_in_order() -> None:
    diary = dataset([10.9, 20.0, -1.5, 70.0], ["view", None, "buy", "view"])
    histories = diary.by_user(["event", "timestamp"])
    names = np.append(diary.interactions["event"].cat.categories, "none")
    assert names[histories.context["event"]].tolist() == ["buy", "view", "none", "view"]
    assert histories.context["event"].dtype == np.int32
    assert histories.context["timestamp"].tolist() == [-1.5, 10.9, 20.0, 70.0]


def test_no_events() -> None:
    with pytest.raises(InputError, match=r"a column 'event', for features\.history_events\. Received: \['user_id', "):
        history_context(dataset([1, 2, 4, 8]), EVENTS)


@pytest.mark.parametrize(
    ("times", "received"),
    [
        ([4, 3, 2, 1], "the numbers of the rows"),
        ([0, 0, 1, 1], "the same difference, 1, between any two interactions of a user"),
        ([5, 5, 5, 5], "the same difference, 0"),
        ([1.7e12, 1.7e12 + 1, 1.7e12 + 5, 1.7e12 + 90], "divide milliseconds by 1,000"),
    ],
)
def test_numbers_that_are_no_times(times: list[float], received: str) -> None:
    with pytest.raises(InputError, match=received):
        history_context(dataset(times), TIMES)


def test_positions_are_no_times() -> None:
    with pytest.raises(InputError, match=r"Received: positions.*--column timestamp=COLUMN"):
        history_context(dataset([10, 25, 99, 1000], has_times=False), TIMES)


@pytest.mark.parametrize(("column", "has_times"), [(":row", False), ("when", True)])
def test_the_order_of_the_rows_is_no_time(column: str, has_times: bool, tmp_path) -> None:
    frame = pd.DataFrame({"user_id": ["a", "b"], "item_id": ["x", "y"], "when": ["2024-05-01", "2024-05-02"]})
    frame.to_csv(tmp_path / "diary.csv", index=False)
    table = TableConfig(path=tmp_path / "diary.csv", columns={"timestamp": column})
    assert load_tables(DataConfig(interactions=table)).has_times is has_times
