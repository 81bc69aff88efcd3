import numpy as np
import pyarrow as pa
import pytest

from tfrec.datasets.checks import RowChecks
from tfrec.errors import InputError

VALUES = pa.chunked_array([["a", "b"], ["c", None, "e"]])


def checks() -> RowChecks:
    found = RowChecks("t.csv", [1, 2, 4, 5, 6])
    found.reject_broken([(3, "x,y")], 3)
    found.reject(np.array([False, False, True, True, False]), "column 'p', expected a number", VALUES)
    found.reject(np.array([True, False, True, False, False]), "column 'q', expected text", VALUES)
    return found


def test_fine_rows_need_no_words() -> None:
    found = RowChecks("t.csv", range(1, 6))
    found.reject(np.zeros(5, bool), "column 'p', expected a number", VALUES)
    assert found.settle("error") == ()
    assert found.good.all()


def test_error_names_reasons_rows_and_remedy() -> None:
    with pytest.raises(InputError) as caught:
        checks().settle("error")
    assert str(caught.value) == (
        "Expected valid rows in t.csv. Received 4 of 6 rows that are not:\n"
        "  - expected 3 values in a row: 1 row (row 3: 'x,y')\n"
        "  - column 'p', expected a number: 2 rows (row 4: 'c', row 5: nothing)\n"
        "  - column 'q', expected text: 2 rows (row 1: 'a', row 4: 'c')\n"
        "Rows are counted from 1, after the header and without blank lines. "
        "Correct them, or leave them out with --bad-rows drop."
    )


def test_dropped_rows_are_counted_by_reason() -> None:
    found = checks()
    assert found.settle("drop") == (
        "t.csv: 4 of 6 rows left out. expected 3 values in a row: 1 row (row 3: 'x,y'); "
        "column 'p', expected a number: 2 rows (row 4: 'c', row 5: nothing); "
        "column 'q', expected text: 2 rows (row 1: 'a', row 4: 'c').",
    )
    assert found.good.tolist() == [False, True, False, False, True]


def test_a_table_without_good_rows_is_an_error_even_if_they_may_be_dropped() -> None:
    found = RowChecks("t.csv", range(1, 6))
    found.reject(np.ones(5, bool), "column 'p', expected a number", VALUES)
    with pytest.raises(
        InputError, match=r"5 of 5 rows (.|\n)*\(row 1: 'a', row 2: 'b', row 3: 'c'\)(.|\n)*Correct them\.$"
    ):
        found.settle("drop")
