"""What is read of tables."""

import gzip
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from tests.datasets.folder import LOG, Folder, badly_encoded, rows
from tfrec.config import TableConfig
from tfrec.datasets import Dataset, Roles
from tfrec.errors import InputError


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


def test_interactions_own_columns_are_the_context(folder: Folder) -> None:
    log = folder.table(
        "log.csv", "user_id,item_id,timestamp,device,place\nu1,a,1,tv,2\nu1,b,2,,3\n",
        categorical=("device",), numeric=("place",),
    )  # fmt: skip
    dataset = folder.load(log)
    assert dataset.context_roles == Roles(categorical=("device",), numeric=("place",))
    assert dataset.interactions["device"].fillna("").tolist() == ["tv", ""]
    assert dataset.interactions["place"].tolist() == [2, 3]


def test_interactions_say_nothing(folder: Folder) -> None:
    log = folder.table("log.csv", "user_id,item_id,timestamp,query\nu1,a,1,shoes\n", text=("query",))
    assert "Expected no text columns in data.interactions. Received: ['query']" in folder.error(log)


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


def test_ids_are_unified_across_row_groups(folder: Folder) -> None:
    table = pa.table({"user_id": ["u1", "u2", "u1", "u3"], "item_id": ["a", "b", "c", "a"], "timestamp": [1, 2, 3, 4]})
    pyarrow.parquet.write_table(table, folder.path / "log.parquet", row_group_size=1)
    dataset = folder.load(TableConfig(path=folder.path / "log.parquet"))
    assert dataset.user_codes.tolist() == [0, 1, 0, 2]
    assert dataset.item_codes.tolist() == [0, 1, 2, 0]
