import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from tfrec.cli import parse_settings
from tfrec.config import DataConfig, TableConfig
from tfrec.datasets import Dataset, Roles, load_dataset
from tfrec.errors import InputError

LOG = "user_id,item_id,timestamp\nu1,b,1\nu2,a,2\nu1,a,3\n"


class Folder:
    """Writes tables and loads them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def table(self, name: str, content: str | bytes, **options: Any) -> TableConfig:
        (self.path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return TableConfig(path=self.path / name, **options)

    def load(self, interactions: str | TableConfig = LOG, **options: Any) -> Dataset:
        if isinstance(interactions, str):
            interactions = self.table("log.csv", interactions)
        return load_dataset(DataConfig(interactions=interactions, **options), self.path)

    def error(self, interactions: str | TableConfig = LOG, **options: Any) -> str:
        with pytest.raises(InputError) as caught:
            self.load(interactions, **options)
        return str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def rows(dataset: Dataset) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in dataset.interactions.astype(object).itertuples(index=False)]


def test_items_and_users_follow_from_interactions(folder: Folder) -> None:
    dataset = folder.load()
    assert dataset.items["item_id"].tolist() == ["b", "a"]
    assert dataset.users["user_id"].tolist() == ["u1", "u2"]
    assert rows(dataset) == [("u1", "b", 1), ("u2", "a", 2), ("u1", "a", 3)]
    assert dataset.user_codes.tolist() == [0, 1, 0]
    assert dataset.item_codes.tolist() == [0, 1, 1]
    assert dataset.item_codes.dtype == dataset.user_codes.dtype == np.int32
    assert dataset.notes == ()
    assert dataset.name == "log"


def test_codes_are_row_numbers_of_the_tables(folder: Folder) -> None:
    items = folder.table("items.csv", "item_id,title\nz,Zed\na,Ant\nb,Bee\n")
    users = folder.table("users.csv", "user_id,land\nu0,no\nu2,se\nu1,dk\n")
    dataset = folder.load(items=items, users=users)
    assert dataset.item_codes.tolist() == [2, 1, 1]
    assert dataset.user_codes.tolist() == [2, 1, 2]
    assert dataset.num_items == dataset.num_users == 3
    assert dataset.interactions["item_id"].tolist() == ["b", "a", "a"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("log.csv", LOG),
        ("log.csv", "\ufeff" + LOG),
        ("log.csv", LOG.replace("\n", "\r\n")),
        ("log.csv", LOG.rstrip() + "\n\n\n"),
        ("log.csv", LOG.replace(",", ";")),
        ("log.txt", LOG.replace(",", "|")),
        ("log.tsv", LOG.replace(",", "\t")),
        ("log.csv", 'user_id,"item_id","timestamp"\n"u1",b,"1"\nu2,a,2\nu1,"a",3\n'),
        ("log.csv.gz", gzip.compress(LOG.encode(), mtime=0)),
        ("log.jsonl", '{"user_id":"u1","item_id":"b","timestamp":1}\n'
         '{"item_id":"a","user_id":"u2","timestamp":2,"more":[1]}\n{"user_id":"u1","item_id":"a","timestamp":3}\n'),
    ],
)  # fmt: skip
def test_text_formats_give_the_same_rows(folder: Folder, name: str, content: str | bytes) -> None:
    assert rows(folder.load(folder.table(name, content))) == [("u1", "b", 1), ("u2", "a", 2), ("u1", "a", 3)]


def test_parquet_keeps_types(folder: Folder) -> None:
    frame = pd.DataFrame(
        {
            "user_id": [1, 2, 1],
            "item_id": pd.Categorical(["b", "a", "a"]),
            "timestamp": pd.to_datetime(["1970-01-01 00:00:01", "1970-01-01 00:00:02", "1970-01-02 00:00:00"]),
            "value": [1.5, None, 2],
        }
    )
    frame.to_parquet(folder.path / "log.parquet")
    dataset = folder.load(TableConfig(path=folder.path / "log.parquet"))
    assert dataset.interactions["user_id"].tolist() == ["1", "2", "1"]
    assert dataset.interactions["item_id"].tolist() == ["b", "a", "a"]
    assert dataset.interactions["timestamp"].tolist() == [1, 2, 86_400]
    np.testing.assert_array_equal(dataset.interactions["value"], np.array([1.5, np.nan, 2], np.float32))


def badly_encoded(*values: bytes) -> pa.Array:
    """Bytes that claim to be text, as some writers of Parquet leave them."""
    return pa.Array.from_buffers(pa.string(), len(values), [None, *pa.array(values, pa.binary()).buffers()[1:]])


@pytest.mark.parametrize(
    ("ids", "message", "kept"),
    [
        (pa.array([1e20, 7.0, float("inf")]), "or a whole number: 2 rows (row 1: 1e+20, row 3: inf)", ["7"]),
        (pa.array([[1], [2], [3]]), "or a whole number: 3 rows (row 1: [1], row 2: [2], row 3: [3])", None),
        (badly_encoded(b"a", b"caf\xe9", b"c"), "text in UTF-8: 1 row (row 2: 'caf\ufffd')", ["a", "c"]),
        (pa.array([b"a", b"caf\xe9", b"c"]), "text in UTF-8: 1 row (row 2: 'caf\ufffd')", ["a", "c"]),
        (pa.array(["a", "b\nc", "d"]), "or a whole number: 1 row (row 2: 'b\\nc')", ["a", "d"]),
    ],
)
def test_ids_that_parquet_holds_but_nobody_can_ask_for(
    folder: Folder, ids: pa.Array, message: str, kept: list[str] | None
) -> None:
    path = folder.path / "log.parquet"
    pyarrow.parquet.write_table(pa.table({"user_id": ids, "item_id": [1, 2, 3], "timestamp": [1, 2, 3]}), path)
    error = folder.error(TableConfig(path=path))
    assert "column 'user_id', expected" in error
    assert message in error
    if kept is not None:
        assert folder.load(TableConfig(path=path), bad_rows="drop").users["user_id"].tolist() == kept


@pytest.mark.parametrize("options", [{"text": ("x",)}, {"categorical": ("x",)}, {"numeric": ("x",)}, {}])
@pytest.mark.parametrize("in_lists", [False, True])
def test_text_in_parquet_that_is_no_utf8_is_a_bad_row(folder: Folder, options: dict, in_lists: bool) -> None:
    values = badly_encoded(b"1", b"\xe9")
    values = pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), values) if in_lists else values
    pyarrow.parquet.write_table(pa.table({"item_id": ["a", "b"], "x": values}), folder.path / "items.parquet")
    items = TableConfig(path=folder.path / "items.parquet", **options)
    assert "column 'x', expected text in UTF-8: 1 row (row 2: " in folder.error(items=items)


def test_json_objects_are_no_ids(folder: Folder) -> None:
    log = folder.table("log.jsonl", '{"user_id":{"id":1},"item_id":"b","timestamp":1}\n')
    assert "or a whole number: 1 row (row 1: {'id': 1})" in folder.error(log)


def test_json_text_that_looks_like_a_date_stays_as_it_is_written(folder: Folder) -> None:
    log = folder.table(
        "log.jsonl",
        '{"user_id":17,"item_id":"2024-01-01","timestamp":"1970-01-01 00:00:05","event":"2024-01-02"}\n'
        '{"user_id":18,"item_id":"2024-01-01 10:00:00","timestamp":"1970-01-02","event":null}\n',
    )
    items = folder.table(
        "items.jsonl",
        '{"title":"1917-01-01","item_id":"2024-01-01","era":"2024-01-01","tags":["2024-01-01","2025-01-01"]}\n'
        '{"title":null,"item_id":"2024-01-01 10:00:00","era":"2024-01-01T10:00:00Z","tags":[],"price":3}\n',
        text=("title", "tags"),
        categorical=("era",),
    )
    dataset = folder.load(log, items=items)
    assert dataset.users["user_id"].tolist() == ["17", "18"]
    assert dataset.items["item_id"].tolist() == ["2024-01-01", "2024-01-01 10:00:00"]
    assert dataset.items["title"].tolist() == ["1917-01-01", ""]
    assert dataset.items["era"].tolist() == ["2024-01-01", "2024-01-01T10:00:00Z"]
    assert dataset.items["tags"].tolist() == ["2024-01-01, 2025-01-01", ""]
    assert dataset.interactions["timestamp"].tolist() == [5, 86_400]
    assert dataset.interactions["event"].astype(object).tolist()[0] == "2024-01-02"
    guessed = folder.load(log, items=items.model_copy(update={"text": (), "categorical": ()}))
    assert guessed.item_roles == Roles(text=("title", "era", "tags"), numeric=("price",))
    assert guessed.items["era"].tolist() == ["2024-01-01", "2024-01-01T10:00:00Z"]


def test_encoding_is_respected(folder: Folder) -> None:
    for encoding in ("latin-1", "utf-16", "cp1252"):
        items = folder.table("items.csv", "item_id;title\na;Café\nb;Über\n".encode(encoding), encoding=encoding)
        assert folder.load(items=items).items["title"].tolist() == ["Café", "Über"]


def test_quoted_values_hold_delimiters_quotes_and_line_breaks(folder: Folder) -> None:
    items = folder.table("items.csv", 'item_id,title\na,"Says ""hi"",\ntwice"\nb,plain\n')
    assert folder.load(items=items).items["title"].tolist() == ['Says "hi",\ntwice', "plain"]


def test_columns_are_mapped(folder: Folder) -> None:
    log = folder.table("log.csv", "who,what,n\nu1,b,9\nu1,a,8\n", columns={
        "user_id": "who", "item_id": "what", "timestamp": ":row", "value": "n"})  # fmt: skip
    items = folder.table("items.csv", "sku,title\na,Ant\nb,Bee\n", columns={"item_id": "sku"})
    dataset = folder.load(log, items=items)
    assert rows(dataset) == [("u1", "b", 0, 9.0), ("u1", "a", 1, 8.0)]
    assert list(dataset.items) == ["item_id", "title"]


def test_optional_columns_of_interactions_are_found(folder: Folder) -> None:
    dataset = folder.load(
        "user_id,item_id,timestamp,event,label,value\nu1,a,1,click,1,2.5\nu1,b,2,,0,\nu2,b,3,view,0.5,1\n"
    )
    assert dataset.interactions["event"].astype(object).where(lambda event: event.notna(), None).tolist() == [
        "click",
        None,
        "view",
    ]
    assert isinstance(dataset.interactions["event"].dtype, pd.CategoricalDtype)
    assert dataset.interactions["label"].tolist() == [1, 0, 0.5]
    np.testing.assert_array_equal(dataset.interactions["value"], np.array([2.5, np.nan, 1], np.float32))


def test_declared_columns_have_their_types(folder: Folder) -> None:
    items = folder.table(
        "items.csv",
        "item_id,title,brand,price,look,ignored\na,Ant,,1.5,1 2,x\nb,,Acme,,,y\n",
        text=("title",),
        categorical=("brand",),
        numeric=("price",),
        vector=("look",),
    )
    dataset = folder.load(items=items)
    assert dataset.item_roles == Roles(("title",), ("brand",), ("price",), ("look",))
    assert list(dataset.items) == ["item_id", "title", "brand", "price", "look"]
    assert dataset.items["title"].tolist() == ["Ant", ""]
    assert dataset.items["brand"].isna().tolist() == [True, False]
    np.testing.assert_array_equal(dataset.items["price"], np.array([1.5, np.nan], np.float32))
    np.testing.assert_array_equal(np.stack(dataset.items["look"]), np.array([[1, 2], [0, 0]], np.float32))
    assert dataset.items["price"].dtype == dataset.items["look"][0].dtype == np.float32
    assert dataset.title == "title"
    assert dataset.notes == ()


def test_interactions_own_columns_are_refused_as_long_as_nothing_reads_them(folder: Folder) -> None:
    log = folder.table(
        "log.csv", "user_id,item_id,timestamp,device,place\nu1,a,1,tv,2\nu1,b,2,,3\n",
        categorical=("device",), numeric=("place",),
    )  # fmt: skip
    assert "are not used yet. Received: ['device', 'place']. Remove them" in folder.error(log)


JUDGED = (
    "user_id,item_id,timestamp,event,label\nu1,a,1,view,1\nu1,b,2,click,0\nu2,a,3,click,0.5\n"
    "u2,c,4,,1\nu3,b,5,click,-1\n"
)


def judged(folder: Folder) -> Dataset:
    return folder.load(folder.table("log.csv", JUDGED, label_range=(-1, 1)))


def test_everything_is_loaded_and_positives_leave_out_what_was_not_liked(folder: Folder) -> None:
    dataset = judged(folder)
    assert len(rows(dataset)) == 5
    positives = dataset.positives()
    assert [row[:3] for row in rows(positives)] == [("u1", "a", 1), ("u2", "a", 3), ("u2", "c", 4)]
    assert positives.interactions.index.tolist() == [0, 1, 2]
    assert positives.notes == ("2 of 5 interactions have a label of 0 or less: left out.",)
    # Items and users keep their rows, and so their codes.
    assert positives.item_codes.tolist() == [0, 0, 2]
    assert (positives.num_items, positives.num_users) == (3, 3)


def test_positives_are_of_the_named_events(folder: Folder) -> None:
    positives = judged(folder).positives(("click",))
    assert [row[:3] for row in rows(positives)] == [("u2", "a", 3)]
    assert positives.notes == (
        "2 of 5 interactions are no click: left out.",
        "2 of 5 interactions have a label of 0 or less: left out.",
    )
    both = judged(folder).positives(("view", "click"))
    assert [row[:3] for row in rows(both)] == [("u1", "a", 1), ("u2", "a", 3)]
    assert both.notes[0] == "1 of 5 interactions are no view or click: left out."


def test_without_labels_and_events_everything_is_positive(folder: Folder) -> None:
    dataset = folder.load()
    assert dataset.positives() is dataset


def test_events_that_do_not_occur_are_named_with_those_that_do(folder: Folder) -> None:
    with pytest.raises(InputError, match=r"occur: \['click', 'view'\]\. Received: \['buy'\]"):
        judged(folder).positives(("buy", "view"))
    items = folder.table("items.csv", "item_id\nb\n")  # the only view is of an item that is left out
    with pytest.raises(InputError, match=r"occur: \['click'\]\. Received: \['view'\]"):
        folder.load(folder.table("log.csv", JUDGED, label_range=(-1, 1)), items=items).positives(("view",))
    with pytest.raises(InputError, match=r"a column 'event', of which data\.events names \['view'\]"):
        folder.load().positives(("view",))


def test_no_positive_at_all_is_an_error(folder: Folder) -> None:
    dataset = folder.load("user_id,item_id,timestamp,label\nu1,a,1,0\nu1,b,2,0\n")
    with pytest.raises(InputError, match=r"Received: none\. 2 of 2 interactions have a label of 0 or less"):
        dataset.positives()


def test_undeclared_roles_are_guessed_and_told(folder: Folder) -> None:
    items = [
        {"item_id": "a", "title": "Ant", "price": 1, "look": [1.0, 2.0], "sold": True, "tags": ["x", "y"]},
        {"item_id": "b", "title": "Bee", "price": 2.5, "look": [3.0, 4.0], "sold": False, "tags": []},
    ]
    users = folder.table("users.csv", "user_id,land,age,empty\nu1,no,30,\nu2,se,NA,\n")
    dataset = folder.load(items=folder.table("items.jsonl", "\n".join(map(json.dumps, items))), users=users)
    assert dataset.item_roles == Roles(("title", "tags"), ("sold",), ("price",), ("look",))
    assert dataset.user_roles == Roles(categorical=("land",), numeric=("age",))
    assert dataset.items["tags"].tolist() == ["x, y", ""]
    assert dataset.items["sold"].tolist() == ["true", "false"]
    assert dataset.notes[0] == (
        "items.jsonl: no column is declared, so they are read as text: title, tags; categorical: sold; "
        "numeric: price; vector: look. Say otherwise with --text, --categorical, --numeric and --vector."
    )


def test_unknown_items_are_dropped_kept_or_refused(folder: Folder) -> None:
    items = folder.table("items.csv", "item_id,price,look\na,1,1 2\n", numeric=("price",), vector=("look",))
    dataset = folder.load(items=items)
    assert rows(dataset) == [("u2", "a", 2), ("u1", "a", 3)]
    note = "1 of 3 interactions are with 1 items that the items table lacks (such as 'b'): "
    assert dataset.notes == (note + "left out.",)

    dataset = folder.load(items=items, unknown_items="keep")
    assert rows(dataset) == [("u1", "b", 1), ("u2", "a", 2), ("u1", "a", 3)]
    assert dataset.notes == (note + "kept, without attributes.",)
    assert dataset.items["item_id"].tolist() == ["a", "b"]
    assert dataset.item_codes.tolist() == [1, 0, 0]
    np.testing.assert_array_equal(dataset.items["price"], np.array([1, np.nan], np.float32))
    np.testing.assert_array_equal(dataset.items["look"][1], np.zeros(2, np.float32))

    assert "--unknown-items drop or --unknown-items keep" in folder.error(items=items, unknown_items="error")
    others = folder.table("items.csv", "item_id\nz\n")
    assert "3 of 3 interactions are with 2 items" in folder.error(items=others)


def test_users_without_a_row_are_added_and_counted(folder: Folder) -> None:
    users = folder.table("users.csv", "user_id,land,age\nu2,se,20\n", categorical=("land",), numeric=("age",))
    dataset = folder.load(users=users)
    assert dataset.users["user_id"].tolist() == ["u2", "u1"]
    assert dataset.users["land"].isna().tolist() == dataset.users["age"].isna().tolist() == [False, True]
    assert dataset.users["age"].dtype == np.float32
    assert dataset.notes == ("1 users of the interactions are not in the users table: added without attributes.",)


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
    assert folder.error(TableConfig(path=folder.path)).endswith("Received: a folder.")


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


def test_ids_are_unified_across_row_groups(folder: Folder) -> None:
    table = pa.table({"user_id": ["u1", "u2", "u1", "u3"], "item_id": ["a", "b", "c", "a"], "timestamp": [1, 2, 3, 4]})
    pyarrow.parquet.write_table(table, folder.path / "log.parquet", row_group_size=1)
    dataset = folder.load(TableConfig(path=folder.path / "log.parquet"))
    assert dataset.user_codes.tolist() == [0, 1, 0, 2]
    assert dataset.item_codes.tolist() == [0, 1, 2, 0]
