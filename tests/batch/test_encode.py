import json
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("apache_beam")

ITEMS = 'item_id,title,genres,year\n1,Heat,Crime,1995\n2,"Alien,\nthe film",,1979\n3,,,\n,Nobody,Drama,2000\n5,Up\n'


def test_items_by_the_template_that_the_model_was_trained_with(tmp_path: Path, batch, known: Path) -> None:
    (tmp_path / "items.csv").write_text(ITEMS)
    result = batch("encode", tmp_path / "out", "--model", known, "--items", tmp_path / "items.csv")
    # "Heat. Crime" has 11 characters, "Alien, the film. " without its last blank 16.
    assert result.table["item_id"].tolist() == ["1", "2"]
    assert [*map(list, result.table["vector"])] == [[11, -11], [16, -16]]
    assert result.table["model_version"].tolist() == [3, 3]
    assert Counter(row["reason"] for row in result.rejected) == {
        "not an item with text": 2,
        "not a row of the table": 1,
    }
    assert result.summary["items encoded"] == 2
    assert result.summary["rows read"] == 5 and result.summary["rejected"] == 3


def test_items_by_columns_in_shards(tmp_path: Path, batch, known: Path) -> None:
    items = pd.DataFrame({"sku": [10, 20, 30], "name": ["a", "bb", "ccc"], "more": ["d", None, "e"]})
    items.iloc[:2].to_parquet(tmp_path / "items-0.parquet")
    items.iloc[2:].to_parquet(tmp_path / "items-1.parquet")
    arguments = ["--column", "item_id=sku", "--text", "name", "--text", "more", "--shards", 2]
    result = batch("encode", tmp_path / "out", "--model", known, "--items", tmp_path / "items-*.parquet", *arguments)
    vectors = dict(zip(result.table["item_id"], map(list, result.table["vector"]), strict=True))
    # "a. d", "bb", "ccc. e"
    assert vectors == {"10": [4, -4], "20": [2, -2], "30": [6, -6]}
    assert len([*(tmp_path / "out").glob("vectors-*-of-00002.parquet")]) == 2


def test_one_item_that_the_template_does_not_fit(tmp_path: Path, batch, known: Path) -> None:
    rows = [{"item_id": "1", "price": 5.25}, {"item_id": "2", "price": "dear"}, {"item_id": "3", "price": 7.0}]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ["--items", tmp_path / "items.jsonl", "--template", "for {price:.1f}"]
    result = batch("encode", tmp_path / "out", "--model", known, *arguments)
    assert result.table["item_id"].tolist() == ["1", "3"]
    assert np.stack(result.table["vector"]).tolist() == [[7, -7], [7, -7]]
    [rejected] = result.rejected
    assert rejected["row"]["item_id"] == "2" and "formats that fit the columns" in rejected["detail"]
