"""Several files as one table."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from tests.datasets.folder import HEADER, LINES, Folder, lines, rows
from tfrec.config import DataConfig, TableConfig
from tfrec.datasets import load_dataset


def shards(folder: Folder, *contents: str, suffix: str = ".csv") -> Path:
    path = folder.path / "log.d"
    path.mkdir()
    for number, content in enumerate(contents):
        (path / f"part-{number}{suffix}").write_text(content)
    return path


class TestShards:
    def test_a_folder_is_one_table_in_the_order_of_names(self, folder: Folder) -> None:
        path = shards(folder, *(HEADER + lines(LINES[low : low + 10]) for low in range(0, 40, 10)), HEADER)
        (path / "_SUCCESS").touch()
        (path / ".part-0.csv.crc").write_bytes(b"\0")
        dataset = folder.load(TableConfig(path=path))
        assert rows(dataset) == LINES
        assert dataset.user_codes.tolist() == [row % 7 for row in range(40)]
        assert dataset.name == "log"

    def test_a_pattern_is_one_table_too_and_is_found_in_the_data_root(self, folder: Folder) -> None:
        shards(folder, *(HEADER + lines(LINES[low : low + 20]) for low in (0, 20)))
        (folder.path / "log.d" / "notes.md").touch()
        for path in (folder.path / "log.d" / "part-*.csv", Path("log.d/part-?.csv"), Path("*/part-*.csv")):
            assert rows(load_dataset(DataConfig(interactions=TableConfig(path=path)), folder.path)) == LINES
        assert TableConfig(path=Path("a/log.d/*/part-*.csv")).title == "log"
        assert TableConfig(path=Path("*.csv")).title == "tables"
        assert "notes.md" in folder.error(TableConfig(path=folder.path / "log.d"))

    def test_parquet_with_numbers_of_other_widths_is_one_table(self, folder: Folder) -> None:
        path = folder.path / "log"
        path.mkdir()
        frame = pd.DataFrame({"user_id": [5, 6, 5, 7], "item_id": list("abca"), "timestamp": [1, 2, 3, 4]})
        frame[:2].astype({"user_id": "int32"}).to_parquet(path / "a.parquet")
        frame[2:][["timestamp", "item_id", "user_id"]].assign(
            item_id=pd.Categorical(["c", "a"]), timestamp=[3.5, 4]
        ).to_parquet(path / "b.parquet")
        dataset = folder.load(TableConfig(path=path))
        assert rows(dataset) == [("5", "a", 1), ("6", "b", 2), ("5", "c", 3.5), ("7", "a", 4)]
        assert dataset.user_codes.tolist() == [0, 1, 0, 2] and dataset.item_codes.tolist() == [0, 1, 2, 0]

    def test_rows_are_named_with_their_file(self, folder: Folder) -> None:
        path = shards(folder, HEADER + "u1,a,1\nu1,b\n", HEADER + "u1,a,3\nu2,,4\nu2,a,x\n")
        message = folder.error(TableConfig(path=path))
        assert message.startswith("Expected valid rows in log.d. Received 3 of 5 rows that are not:\n")
        assert "expected 3 values in a row: 1 row (row 2 of part-0.csv: 'u1,b')" in message
        assert "1 row (row 2 of part-1.csv: nothing)" in message
        assert "1 row (row 3 of part-1.csv: 'x')" in message
        dropped = folder.load(TableConfig(path=path), bad_rows="drop")
        assert rows(dropped) == [("u1", "a", 1), ("u1", "a", 3)]

    def test_the_file_with_other_columns_is_named(self, folder: Folder) -> None:
        path = shards(folder, HEADER + "u,a,1\n", HEADER + "u,a,2\n", "user_id,item_id,when\nu,a,3\n")
        assert folder.error(TableConfig(path=path)) == (
            f"Expected the columns ['user_id', 'item_id', 'timestamp'] in {path}/part-2.csv, as in part-0.csv. "
            "Received: ['user_id', 'item_id', 'when']. The files of a table have the same columns."
        )

    def test_the_file_with_values_of_another_kind_is_named(self, folder: Folder) -> None:
        path = folder.path / "log"
        path.mkdir()
        for name, users in (("a", [1, 2]), ("b", ["x", "y"])):
            table = pa.table({"user_id": users, "item_id": ["a", "b"], "timestamp": [1, 2]})
            pyarrow.parquet.write_table(table, path / f"{name}.parquet")
        message = folder.error(TableConfig(path=path))
        assert f"kind in column 'user_id', in {path}/b.parquet int64 as in a.parquet. Received: " in message

    def test_times_are_looked_at_together(self, folder: Folder) -> None:
        zoned = lines(LINES[20:], "1970-01-01T00:00:{:02}Z")
        path = shards(folder, HEADER + lines(LINES[:20], "1970-01-01 00:00:{:02}"), HEADER + zoned)
        assert rows(folder.load(TableConfig(path=path))) == LINES
        (path / "part-0.csv").write_text(HEADER + "u1,i1,17\n")
        assert "1 row (row 1 of part-0.csv: '17')" in folder.error(TableConfig(path=path))

    def test_items_may_be_in_files_too(self, folder: Folder) -> None:
        path = shards(folder, "item_id,title\na,Ant\nb\n", "title,item_id\nBee,b\nAnt again,a\nCat,c,9\n")
        log = HEADER + "u1,a,1\nu1,b,2\nu1,c,3\n"
        dataset = folder.load(log, items=TableConfig(path=path, text=("title",)), bad_rows="drop")
        assert dataset.items["title"].tolist() == ["Ant", "Bee"]
        assert "(row 2 of part-1.csv: 'a')" in dataset.notes[0]
        assert "whose own rows in the items table were left out (such as 'c')" in dataset.notes[1]
