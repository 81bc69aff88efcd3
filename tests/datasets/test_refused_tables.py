"""Tables that can't be read, and what is told."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from tests.datasets.folder import LOG, Folder
from tfrec.cli import parse_settings
from tfrec.config import TableConfig


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (
            "user_id,movie,timestamp",
            "Expected column 'item_id' in log.csv. Received: ['user_id', 'movie', 'timestamp']. "
            "Map it with --column item_id=movie.",
        ),
        (
            "user,what,date",
            "Expected columns 'user_id' and 'item_id' and 'timestamp' in log.csv. Received: ['user', 'what', 'date']. "
            "Map them with --column user_id=user --column item_id=COLUMN --column timestamp=date. "
            "Use --column timestamp=:row if the rows are in order.",
        ),
    ],
)
def test_missing_columns_are_named_with_a_remedy(folder: Folder, header: str, message: str) -> None:
    assert folder.error(f"{header}\n1,2,3\n") == message


def test_missing_key_of_items_names_the_table(folder: Folder) -> None:
    message = folder.error(items=folder.table("goods.csv", "sku,title\na,Ant\n"))
    assert message == (
        "Expected column 'item_id' in goods.csv. Received: ['sku', 'title']. Map it with --column items.item_id=sku."
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"text": ("titel",)}, ["'titel'", "as --text says", "['item_id', 'title']", "Did you mean 'title'?"]),
        ({"text": ("title",), "categorical": ("title",)}, ["['title'] more than once"]),
        ({"categorical": ("item_id",)}, ["--categorical", "'item_id'"]),
        ({"columns": {"item": "item_id"}}, ["--column", "['item_id']", "'item'"]),
        ({"columns": {"item_id": "sku"}}, ["'sku' in items.csv"]),
        ({"encoding": "klingon"}, ["--encoding klingon", "latin-1"]),
        ({"delimiter": "::"}, ["--delimiter", "'::'"]),
    ],
)
def test_wrong_declarations_are_explained(folder: Folder, options: dict[str, Any], words: list[str]) -> None:
    message = folder.error(items=folder.table("items.csv", "item_id,title\na,Ant\nb,Bee\n", **options))
    for word in words:
        assert word in message


def test_title_must_be_a_text_column(folder: Folder) -> None:
    items = folder.table("items.csv", "item_id,title,name\na,Ant,x\nb,Bee,y\n", text=("name", "title"))
    assert folder.load(items=items).title == "name"
    assert folder.load(items=items, title="title").title == "title"
    assert "['name', 'title']. Received: 'price'. Add it with --text price" in folder.error(items=items, title="price")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("log.xlsx", "x", ["ends in one of .csv", "log.xlsx"]),
        ("log.parquet.gz", "x", ["ends in one of .csv"]),
        ("log.csv", "", ["an empty file"]),
        ("log.csv", "user_id,item_id,timestamp\n", ["none after the header"]),
        ("log.csv", "user_id,item_id,item_id\n1,2,3\n", ["['item_id'] more than once"]),
        ("log.csv", b"user_id,item_id,timestamp\na,b,1\nx,caf\xe9,2\n", ["utf-8", "line 3", r"caf\xe9", "latin-1"]),
        ("log.csv", b"user_id,caf\xe9\n", ["utf-8", "line 1"]),
        ("log.csv", LOG + 'u3,"a,4\nu3,b,5\n', ['closes it', "row 4"]),
        ("log.csv.gz", gzip.compress(LOG.encode() * 9, mtime=0)[:60], ["readable file", "log.csv.gz"]),
        ("log.csv.gz", LOG, ["readable file", "log.csv.gz"]),
        ("log.parquet", "nothing of the kind", ["readable file", "log.parquet"]),
        ("log.jsonl", '{"user_id":1}\n{"user_id":\n', ["JSON object a line", "line 2"]),
        ("log.jsonl", '{"user_id":1}\n\n[1]\n', ["JSON object a line", "b'[1]\\n' in line 3"]),
        ("log.jsonl", '{"user_id":1}\n{"user_id":"x"}\n', ["one kind a column", "changed from number to string"]),
        ("log.jsonl", b'{"user_id":"\xe9","item_id":1,"timestamp":1}\n', ["utf-8", "line 1", "latin-1"]),
    ],
)  # fmt: skip
def test_unreadable_files_are_explained(folder: Folder, name: str, content: str | bytes, words: list[str]) -> None:
    message = folder.error(folder.table(name, content))
    for word in words:
        assert word in message


def test_missing_file_of_a_relative_path_says_where_it_was_looked_for(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.path)
    assert folder.error(TableConfig(path=Path("in/absent.csv"))) == (
        f"Expected a file at {folder.path}/in/absent.csv. Received: nothing there. "
        f"The working directory is {folder.path}, and the data root has none either."
    )


@pytest.mark.parametrize(("written", "is_helped"), [("29.10.2024 04:16:59", True), ("10/29/2024", True), ("x", False)])
def test_times_that_are_not_iso_come_with_a_way_to_convert_them(folder: Folder, written: str, is_helped: bool) -> None:
    message = folder.error(f"user_id,item_id,timestamp\nu1,a,{written}\nu1,b,{written}\n")
    assert ("Write times as ISO 8601; pandas reads others" in message) == is_helped
    assert ("pd.to_datetime(frame['timestamp'], format='%d.%m.%Y %H:%M:%S')" in message) == is_helped


def test_utf8_that_is_read_as_another_encoding_is_told(folder: Folder) -> None:
    for encoding, notes in {"latin-1": 1, "cp1252": 1, "utf-8": 0, "utf-8-sig": 0}.items():
        items = folder.table("items.csv", "item_id,title\na,Käse\nb,Bee\n", text=("title",), encoding=encoding)
        assert len(folder.load(items=items).notes) == notes, encoding
    items = items.model_copy(update={"encoding": "latin-1"})
    assert folder.load(items=items).notes[0] == (
        "items.csv looks like UTF-8 but is read as latin-1. If its text comes out garbled, leave --encoding out, or "
        "pass --set data.items.encoding=utf-8 for this table alone."
    )
    for content in ("item_id,title\na,Ant\nb,Bee\n", "item_id,title\na,Käse\nb,Bee\n".encode("latin-1")):
        items = folder.table("items.csv", content, text=("title",), encoding="latin-1")
        assert folder.load(items=items).notes == ()


def test_utf8_with_a_cut_character_at_the_end_of_what_is_looked_at_is_utf8(folder: Folder) -> None:
    start = "item_id,title\nb,Bee\na,"
    title = "x" * ((1 << 20) - len(start) - 3) + "éé"  # the second é is at the last byte and the one after it
    items = folder.table("items.csv", start + title + "\n", text=("title",), encoding="latin-1")
    assert "looks like UTF-8" in folder.load(items=items).notes[0]


def test_names_garbled_by_a_wrong_encoding_are_explained(folder: Folder) -> None:
    log = folder.table(
        "log.csv", "Käufer,item_id,timestamp\nu,a,1\n", columns={"user_id": "Käufer"}, encoding="latin-1"
    )
    assert "log.csv looks like UTF-8 but is read as latin-1" in folder.error(log)
    assert "Map it with" not in folder.error(log)
    marked = folder.table("log.csv", "\ufeff" + LOG, encoding="latin-1")
    assert folder.error(marked) == (
        "Expected text in latin-1 in log.csv. Received: the mark that begins a file in UTF-8. Leave --encoding out; it "
        "can be set for one table alone, as in --set data.items.encoding=utf-8."
    )


def test_a_wrong_delimiter_is_explained(folder: Folder) -> None:
    message = folder.error(folder.table("log.csv", LOG.replace(",", ";"), delimiter=","))
    assert message == (
        "Expected columns divided by ',' in log.csv, as --delimiter says. Received: one column, "
        "'user_id;item_id;timestamp'. Leave --delimiter out; it can be set for one table alone, as in "
        "--set 'data.interactions.delimiter=\";\"'."
    )
    assert parse_settings(['data.interactions.delimiter=";"']) == {"data.interactions.delimiter": ";"}


def test_a_mistyped_column_is_recognised(folder: Folder) -> None:
    content = "Kunde,Artikelnummer,timestamp\nu,a,1\n"
    log = folder.table("log.csv", content, columns={"user_id": "kunde", "item_id": "Artikelnummmer"})
    assert folder.error(log) == (
        "Expected columns 'kunde' and 'Artikelnummmer' in log.csv. Received: ['Kunde', 'Artikelnummer', 'timestamp']. "
        "Did you mean --column user_id=Kunde --column item_id=Artikelnummer?"
    )


def test_missing_file_is_named(folder: Folder) -> None:
    assert folder.error(TableConfig(path=folder.path / "absent.csv")).endswith("absent.csv. Received: nothing there.")
    assert folder.error(TableConfig(path=folder.path)).endswith("Received: an empty folder.")
