import datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfrec.datasets.columns import (
    are_dates,
    to_categories,
    to_days,
    to_ids,
    to_numbers,
    to_text,
    to_timestamps,
    to_vectors,
)


def column(*values: object, kind: pa.DataType | None = None) -> pa.ChunkedArray:
    """Two chunks, as files come."""
    middle = len(values) // 2
    kind = kind or pa.array(values).type
    return pa.chunked_array([pa.array(values[:middle], kind), pa.array(values[middle:], kind)])


def flags(mask: np.ndarray) -> list[int]:
    return np.flatnonzero(mask).tolist()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (column("b", "a", "b"), ["b", "a", "b"]),
        (column(12, 7, 12), ["12", "7", "12"]),
        (column(1.0, 2.0, 1.0), ["1", "2", "1"]),
        (column(1.5, 2.0, 1.5), ["1.5", "2", "1.5"]),
        (column("b", "a", "b").dictionary_encode(), ["b", "a", "b"]),
        (column("b", "a", "b", kind=pa.large_string()), ["b", "a", "b"]),
    ],
)
def test_ids_become_strings(values: pa.ChunkedArray, expected: list[str]) -> None:
    ids, bad = to_ids(values)
    assert ids.to_pylist() == expected
    assert flags(bad) == []


def test_missing_and_blank_ids_are_bad() -> None:
    assert flags(to_ids(column("a", None, " \t", "", "b"))[1]) == [1, 2, 3]
    assert flags(to_ids(column(1.0, None, float("nan")))[1]) == [1, 2]
    assert to_ids(column(1.0, None))[0][0].as_py() == "1"


@pytest.mark.parametrize(
    ("values", "bad", "good"),
    [
        (column(1e20, 2.0, float("inf"), 2.0**53 - 1), [0, 2], {1: "2", 3: "9007199254740991"}),
        (column(-1e300, 2.5, float("-inf"), 1e15), [0, 2], {1: "2.5", 3: "1000000000000000"}),
        (column(2.0**24, 7.0, kind=pa.float32()), [0], {1: "7"}),  # 2^24 and 2^24 + 1 are one float32
        (column(1e20, 2.0).dictionary_encode(), [0], {1: "2"}),
        (column([1], [2]), [0, 1], {}),
        (column({"a": 1}, {"a": 2}), [0, 1], {}),
        (column(bytes(16), bytes(16), kind=pa.uuid()), [0, 1], {}),
        (column("a\nb", "a\tb", "a\rb", "a\0", "a\u2028b", "é b"), [0, 1, 2, 3, 4], {5: "é b"}),
    ],
)
def test_what_is_no_id_is_bad(values: pa.ChunkedArray, bad: list[int], good: dict[int, str]) -> None:
    ids, is_bad = to_ids(values)
    assert flags(is_bad) == bad
    assert {row: ids[row].as_py() for row in good} == good
    assert len(ids) == len(values)


def test_id_that_looks_like_a_missing_value_is_an_id() -> None:
    ids, bad = to_ids(column("NA", "null", "nan"))
    assert ids.to_pylist() == ["NA", "null", "nan"]
    assert flags(bad) == []


def test_text_has_no_nulls_and_joins_lists() -> None:
    assert to_text(column("a", None, "b"))[0].to_pylist() == ["a", "", "b"]
    assert to_text(column(["x", "y"], None, []))[0].to_pylist() == ["x, y", "", ""]
    assert to_text(column(3, None))[0].to_pylist() == ["3", ""]
    assert flags(to_text(column({"a": 1}, {"a": 2}))[1]) == [0, 1]
    assert flags(to_text(column([{"a": 1}], [{"a": 2}]))[1]) == [0, 1]


def test_blank_categories_are_null() -> None:
    assert to_categories(column("a", " ", None, ""))[0].to_pylist() == ["a", None, None, None]


def test_numbers_are_read_from_text() -> None:
    numbers, bad = to_numbers(column("1", " 2.5 ", "+3", "1e2", "-.5", "", "NA", None, "nan"))
    assert numbers.type == pa.float32()
    assert numbers.to_pylist() == [1, 2.5, 3, 100, -0.5, None, None, None, None]
    assert flags(bad) == []


def test_what_is_no_number_is_bad() -> None:
    assert flags(to_numbers(column("1", "x", "1,5", "inf", "2024-01-01", "1e99", "2"))[1]) == [1, 2, 3, 4, 5]
    assert flags(to_numbers(column(1.0, float("inf"), float("nan")))[1]) == [1]
    assert flags(to_numbers(column(["a"], ["b"]))[1]) == [0, 1]


@given(st.lists(st.one_of(st.none(), st.floats(width=32, allow_nan=False, allow_infinity=False)), min_size=1))
def test_numbers_survive_being_written(values: list[float | None]) -> None:
    text = column(*("" if value is None else repr(value) for value in values), "not a number")
    numbers, bad = to_numbers(text)
    assert numbers.to_pylist()[:-1] == values
    assert flags(bad) == [len(values)]


# 2024-01-01 is day 19,723 after 1970-01-01: 19,723 * 86,400 = 1,704,067,200 seconds.
NEW_YEAR = 1_704_067_200


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (("3", "1", "2"), [3, 1, 2]),
        (("3", "1.5", "2"), [3.0, 1.5, 2.0]),
        (("2024-01-01", "2024-01-02", "1970-01-01"), [NEW_YEAR, NEW_YEAR + 86_400, 0]),
        (("2024-01-01 00:00:01", "2024-01-01T00:01"), [NEW_YEAR + 1, NEW_YEAR + 60]),
        (("2024-01-01T01:00:00+01:00", "2024-01-01T00:00:00Z"), [NEW_YEAR, NEW_YEAR]),
        (("2024-01-01T00:00:00.25", "1969-12-31T23:59:59"), [NEW_YEAR + 0.25, -1.0]),
    ],
)
def test_times_are_read_from_text(written: tuple[str, ...], expected: list[float]) -> None:
    times, bad = to_timestamps(column(*written))
    assert times.to_pylist() == expected
    assert times.type == (pa.float64() if isinstance(expected[0], float) else pa.int64())
    assert flags(bad) == []


def test_typed_times_become_seconds() -> None:
    day, moment = datetime.date(2024, 1, 1), datetime.datetime(2024, 1, 1, 0, 0, 5)
    zone = datetime.timezone(datetime.timedelta(hours=1))
    assert to_timestamps(column(day, day))[0].to_pylist() == [NEW_YEAR, NEW_YEAR]
    assert to_timestamps(column(moment, None))[0].to_pylist()[0] == NEW_YEAR + 5
    assert flags(to_timestamps(column(moment, None))[1]) == [1]
    assert to_timestamps(column(moment.replace(tzinfo=zone)))[0].to_pylist() == [NEW_YEAR + 5 - 3600]


def test_dates_are_days_since_1970() -> None:
    # 54 years with 13 leap days are 19,723 days, and January to April of 2024 are 121.
    written = ["2024-05-01", "1969-12-31", "9999-12-31", "2024-05-01T18:00:00Z", "2024-05-01T02:00:00+02:00"]
    values = column(*written, "", None, " N/A ", "soon", kind=pa.string())
    days, bad = to_days(values)
    assert days.type == pa.float32()
    assert days.to_pylist() == [19844, -1, 2932896, 19844.75, 19844, None, None, None, None]
    assert flags(bad) == [8]
    typed, bad = to_days(column(datetime.date(2024, 5, 1), None))
    assert (typed.to_pylist(), flags(bad)) == ([19844, None], [])
    typed, bad = to_days(column(datetime.datetime(2024, 5, 1, 6), None))
    assert (typed.to_pylist(), flags(bad)) == ([19844.25, None], [])


def test_a_column_with_a_number_is_no_column_of_dates() -> None:
    assert are_dates(column("2024-05-01", "", "soon"))
    assert are_dates(column(datetime.date(2024, 5, 1)))
    assert not any(
        map(are_dates, [column("2024-05-01", "7"), column("2024", ""), column("", None, kind=pa.string()), column(1.5)])
    )


def test_what_is_no_time_is_bad() -> None:
    assert flags(to_timestamps(column("1", "x", "3", "inf", None))[1]) == [1, 3, 4]
    assert flags(to_timestamps(column("2024-01-01", "01/02/2024", "2024-02-30", "", "2024-01-03"))[1]) == [1, 2, 3]
    assert flags(to_timestamps(column(1.0, float("nan"), float("inf")))[1]) == [1, 2]


@pytest.mark.parametrize(
    "values",
    [
        column("1 2.5", "", "3 -4"),
        column("[1, 2.5]", None, "[3, -4]"),
        column([1, 2.5], None, [3, -4]),
        column([1.0, 2.5], None, [3.0, -4.0], kind=pa.list_(pa.float64(), 2)),
        column([1.0, 2.5], [], [3.0, -4.0], kind=pa.large_list(pa.float32())),
    ],
)
def test_vectors_are_lists_of_one_length(values: pa.ChunkedArray) -> None:
    vectors, bad = to_vectors(values)
    assert vectors.to_pylist() == [[1, 2.5], [0, 0], [3, -4]]
    assert flags(bad) == []


def test_vectors_of_other_lengths_and_other_things_are_bad() -> None:
    assert flags(to_vectors(column("1 2", "1 2 3", "4 5", "6 x", "7 nan"))[1]) == [1, 3, 4]
    assert flags(to_vectors(column([1.0, 2.0], [1.0, None], [1.0], [3.0, float("inf")]))[1]) == [1, 2, 3]
    assert flags(to_vectors(column(1, 2))[1]) == [0, 1]
