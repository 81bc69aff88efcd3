"""Rows and values that can't be read: an error, or left out and counted."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from tests.datasets.folder import Folder, badly_encoded, rows
from tfrec.cli import parse_settings
from tfrec.config import TableConfig
from tfrec.datasets import Roles

BAD_LOG = (
    "user_id,item_id,timestamp,label\n"
    "u1,a,1,1\n"
    "u1,b\n"  # row 2: too short
    "\n"  # a blank line does not count
    ",a,3,1\n"  # row 3: no user
    "u2,a,x,1\n"  # row 4: no time
    "u2,b,5,2\n"  # row 5: label out of range
    "u2,b,6,no\n"  # row 6: label no number
    "u3,b,7,0,9\n"  # row 7: too long
    "u3,b,8,0\n"
)


def test_bad_rows_stop_with_all_reasons(folder: Folder) -> None:
    assert folder.error(BAD_LOG) == (
        "Expected valid rows in log.csv. Received 6 of 8 rows that are not:\n"
        "  - expected 4 values in a row: 2 rows (row 2: 'u1,b', row 7: 'u3,b,7,0,9')\n"
        "  - column 'user_id', expected an id: text without line breaks and tabs, or a whole number: "
        "1 row (row 3: nothing)\n"
        "  - column 'timestamp', expected a number or an ISO 8601 time such as 2024-05-01T12:30:00Z: "
        "1 row (row 4: 'x')\n"
        "  - column 'label', expected a number from 0 to 1 (label_range): 2 rows (row 5: '2', row 6: 'no')\n"
        "Rows are counted from 1, after the header and without blank lines. "
        "Correct them, or leave them out with --bad-rows drop."
    )


def test_bad_rows_are_dropped_and_counted(folder: Folder) -> None:
    dataset = folder.load(BAD_LOG, bad_rows="drop")
    assert rows(dataset) == [("u1", "a", 1, 1.0), ("u3", "b", 8, 0.0)]
    assert dataset.users["user_id"].tolist() == ["u1", "u3"]
    note, warning = dataset.notes
    assert note.startswith("log.csv: 6 of 8 rows left out. ")
    assert warning.startswith("More than half of the interactions are left out: 6 of 8 rows. ")


PRICES = "item_id;title;price;look\na;Ant;12,50;1 2\nb;Bee;12,50 €;x y\n;Nobody;3;3 4\nd;Doe;4;5 6\ne;Emu;;\n"


def test_attributes_that_cannot_be_read_are_left_empty_and_counted(folder: Folder) -> None:
    items = folder.table("items.csv", PRICES, text=("title",), numeric=("price",), vector=("look",))
    dataset = folder.load(items=items, bad_rows="drop")
    assert dataset.items["item_id"].tolist() == ["a", "b", "d", "e"]
    np.testing.assert_array_equal(dataset.items["price"], np.array([np.nan, np.nan, 4, np.nan], np.float32))
    assert np.stack(dataset.items["look"]).tolist() == [[1, 2], [0, 0], [5, 6], [0, 0]]
    assert len(dataset.interactions) == 3
    assert dataset.notes == (
        "items.csv: 1 of 5 rows left out. column 'item_id', expected an id: text without line breaks and tabs, or a "
        "whole number: 1 row (row 3: nothing).",
        "items.csv: price: 2 values left empty (row 1: '12,50', row 2: '12,50 €'). "
        "If the comma is a decimal comma, pass --set data.items.decimal=','.",
        "items.csv: look: 1 value left empty (row 2: 'x y').",
    )
    message = folder.error(items=items)
    assert "Received 3 of 5 rows that are not:" in message
    assert "column 'price', expected a number: 2 rows (row 1: '12,50', row 2: '12,50 €')" in message
    assert message.endswith("with --bad-rows drop. If the comma is a decimal comma, pass --set data.items.decimal=','.")


def test_a_decimal_comma_is_read_where_it_is_declared(folder: Folder) -> None:
    content = 'item_id,price\na,"12,50"\nb,3\nc,1.234\n'
    items = folder.table("items.csv", content, numeric=("price",), decimal=",")
    dataset = folder.load(items=items, bad_rows="drop")
    np.testing.assert_array_equal(dataset.items["price"], np.array([12.5, 3, np.nan], np.float32))
    assert "expected a number with a decimal comma: 1 row (row 3: '1.234')" in folder.error(items=items)
    guessed = folder.table("items.csv", content.replace("1.234", "1"), decimal=",")
    assert folder.load(items=guessed).item_roles == Roles(numeric=("price",))
    assert parse_settings(["data.items.decimal=,"]) == {"data.items.decimal": ","}  # what a shell makes of the remedy


def test_an_attribute_in_which_nothing_can_be_read_is_an_error(folder: Folder) -> None:
    items = folder.table("items.csv", "item_id,title,price\na,Ant,x\nb,Bee,\n", numeric=("price",))
    message = folder.error(items=items, bad_rows="drop")
    assert message.endswith("Correct them, or leave price undeclared, in which nothing can be read.")


def test_a_value_that_cannot_be_read_leaves_its_interaction(folder: Folder) -> None:
    log = "user_id,item_id,timestamp,value\nu1,a,1,5 €\nu1,b,2,6 €\n"
    dataset = folder.load(log, bad_rows="drop")
    assert dataset.interactions["value"].isna().tolist() == [True, True]
    assert dataset.notes == ("log.csv: value: 2 values left empty (row 1: '5 €', row 2: '6 €').",)


def test_undecodable_attributes_are_left_empty(folder: Folder) -> None:
    table = pa.table({"item_id": ["a", "b"], "x": badly_encoded(b"ok", b"\xe9"), "y": badly_encoded(b"\xe9", b"ok")})
    pyarrow.parquet.write_table(table, folder.path / "items.parquet")
    items = TableConfig(path=folder.path / "items.parquet", text=("x",), categorical=("y",))
    dataset = folder.load(items=items, bad_rows="drop")
    assert dataset.items["x"].tolist() == ["ok", ""]
    assert dataset.items["y"].isna().tolist() == [True, False]


def test_items_that_were_left_out_are_told_from_items_that_are_not_there(folder: Folder) -> None:
    log = "user_id,item_id,timestamp\nu1,a,1\nu1,b,2\nu1,c,3\nu2,c,4\nu2,z,5\nu2,a,6\nu3,a,7\n"
    items = "item_id,title\na,Ant\nb,Bee,3\nc,Cat\n"
    # b has too many values; no row says anything of z.
    dataset = folder.load(log, items=folder.table("items.csv", items), bad_rows="drop")
    assert dataset.notes[-2:] == (
        "1 of 7 interactions are with 1 items that the items table lacks (such as 'z'): left out.",
        "1 of 7 interactions are with 1 items whose own rows in the items table were left out (such as 'b'): left out.",
    )
    # An id that neither table may hold is no item at all.
    items = folder.table("items.csv", 'item_id,title\na,Ant\nb,Bee\nc,Cat\n"z\n",Zed\n')
    dataset = folder.load(log.replace(",z,", ',"z\n",'), items=items, bad_rows="drop")
    assert not any("items table" in note for note in dataset.notes)


@pytest.mark.parametrize("lost", [2, 3])
def test_more_than_half_is_told(folder: Folder, lost: int) -> None:
    items = folder.table("items.csv", "item_id,title\na,Ant\nc,Cat\n" + ",Nobody\n" * lost)
    log = "user_id,item_id,timestamp\nu1,a,1\nu1,c,2\n" + "u1,z,3\n" * lost
    notes = folder.load(log, items=items, bad_rows="drop").notes
    warnings = [note for note in notes if note.startswith("More than half")]
    assert [warning.partition(":")[0] for warning in warnings] == [
        f"More than half of the {name} are left out" for name in ("interactions", "items") if lost > 2
    ]


def test_label_range_is_the_users(folder: Folder) -> None:
    log = folder.table("log.csv", "user_id,item_id,timestamp,label\nu1,a,1,-1\nu1,b,2,5\n", label_range=(-1, 5))
    assert folder.load(log).interactions["label"].tolist() == [-1, 5]


def test_repeated_ids_keep_the_first_good_row(folder: Folder) -> None:
    items = folder.table("items.csv", "item_id,price\na,x\nb,2\na,3\na,4\n", numeric=("price",))
    message = folder.error(items=items)
    assert "column 'price', expected a number: 1 row (row 1: 'x')" in message
    assert "column 'item_id', expected each id once: 2 rows (row 3: 'a', row 4: 'a')" in message
    dataset = folder.load(items=items, bad_rows="drop")
    assert dataset.items["item_id"].tolist() == ["a", "b"]
    assert dataset.items["price"].isna().tolist() == [True, False]


def test_dropping_every_row_is_an_error(folder: Folder) -> None:
    message = folder.error("user_id,item_id,timestamp\nu1,a,x\n,a,1\n", bad_rows="drop")
    assert "2 of 2 rows" in message
    assert "--bad-rows" not in message
