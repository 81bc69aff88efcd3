from unittest import mock

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tfrec.datasets import ragged as module
from tfrec.datasets.ragged import Ragged

ROWS = st.lists(st.lists(st.integers(0, 99), max_size=5), max_size=8)


def ragged(rows: list[list[int]]) -> Ragged:
    values = np.array([value for row in rows for value in row], np.int32)
    return Ragged.from_lengths(values, np.array([len(row) for row in rows], np.int64))


def lists(rows: Ragged) -> list[list[int]]:
    return [rows[row].tolist() for row in range(len(rows))]


def test_rows_are_cut_by_length() -> None:
    rows = ragged([[5, 6], [], [7]])
    assert rows.offsets.tolist() == [0, 2, 2, 3]
    assert rows.lengths.tolist() == [2, 0, 1]
    assert rows.rows.tolist() == [0, 0, 2]
    assert rows[0].tolist() == [5, 6]


@given(ROWS, st.data())
def test_take_is_indexing(rows: list[list[int]], data: st.DataObject) -> None:
    picked = data.draw(st.lists(st.sampled_from(range(len(rows))))) if rows else []
    assert lists(ragged(rows).take(np.array(picked, np.int64))) == [rows[row] for row in picked]


@given(ROWS)
def test_take_understands_a_mask(rows: list[list[int]]) -> None:
    mask = np.array([len(row) > 2 for row in rows], bool)
    assert lists(ragged(rows).take(mask)) == [row for row in rows if len(row) > 2]


@given(ROWS, st.data())
def test_most_rows_are_taken_in_order_without_positions(rows: list[list[int]], data: st.DataObject) -> None:
    left_out = data.draw(st.sets(st.sampled_from(range(len(rows))), max_size=2)) if rows else set()
    picked = [row for row in range(len(rows)) if row not in left_out]
    whole = ragged(rows)
    whole = Ragged(whole.values, whole.offsets, {"tenfold": whole.values * 10})
    taken = whole.take(np.array(picked, np.int64))
    assert lists(taken) == [rows[row] for row in picked]
    assert (taken.context["tenfold"] == taken.values * 10).all()


@given(ROWS)
def test_a_stretch_is_some_rows(rows: list[list[int]]) -> None:
    assert lists(ragged(rows).stretch(len(rows) // 3, len(rows))) == rows[len(rows) // 3 :]


@given(ROWS)
def test_count_is_of_each_row(rows: list[list[int]]) -> None:
    whole = ragged(rows)
    assert whole.count(whole.values > 50).tolist() == [sum(value > 50 for value in row) for row in rows]


@given(ROWS)
def test_where_filters_values_and_keeps_rows(rows: list[list[int]]) -> None:
    whole = ragged(rows)
    assert lists(whole.where(whole.values % 2 == 0)) == [[value for value in row if value % 2 == 0] for row in rows]


@given(ROWS, st.integers(0, 6))
def test_last_is_the_end_of_each_row(rows: list[list[int]], number: int) -> None:
    assert lists(ragged(rows).last(number)) == [row[max(len(row) - number, 0) :] for row in rows]


@given(ROWS, ROWS)
def test_is_in_looks_into_the_same_row(rows: list[list[int]], others: list[list[int]]) -> None:
    others = [*others, *([] for _ in rows)][: len(rows)]
    expected = [value in other for row, other in zip(rows, others, strict=True) for value in row]
    for at_once in (1, 4, 1 << 18):
        with mock.patch.object(module, "_VALUES_AT_ONCE", at_once):
            assert ragged(rows).is_in(ragged(others)).tolist() == expected


@given(ROWS)
def test_is_repeat_is_what_stands_before(rows: list[list[int]]) -> None:
    expected = [value in row[:place] for row in rows for place, value in enumerate(row)]
    assert ragged(rows).is_repeat().tolist() == expected
