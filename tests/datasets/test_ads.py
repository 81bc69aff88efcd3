"""Criteo and Avazu, from files in the formats in which they were published."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from tfrec.config import DataConfig, SplitConfig
from tfrec.datasets import Dataset, load_dataset, split_impressions
from tfrec.datasets.ads import AVAZU_COLUMNS
from tfrec.errors import InputError


def criteo_line(label: int, first: str, category: str) -> str:
    return "\t".join([str(label), first, *["3"] * 12, category, *["ab"] * 25])


@pytest.fixture
def criteo(tmp_path: Path) -> Dataset:
    folder = tmp_path / "criteo-sample"
    folder.mkdir()
    (folder / "train.txt").write_text(criteo_line(1, "-1", "68fd1e64") + "\n" + criteo_line(0, "", "") + "\n")
    with gzip.open(folder / "test.csv.gz", "wt") as file:
        file.write(criteo_line(0, "7", "05db9164") + "\n")
    return load_dataset(DataConfig(source="criteo"), tmp_path)


def test_criteo_is_context_alone(criteo: Dataset) -> None:
    rows = criteo.interactions
    assert rows["label"].tolist() == [1, 0, 0]
    assert rows["timestamp"].tolist() == [0, 1, 2]
    np.testing.assert_array_equal(rows["I1"].to_numpy(np.float32), np.array([-1, np.nan, 7], np.float32))
    assert rows["C1"].fillna("").tolist() == ["68fd1e64", "", "05db9164"]
    assert (criteo.num_users, criteo.num_items) == (1, 1)
    assert len(criteo.context_roles.numeric), len(criteo.context_roles.categorical) == (13, 26)


def test_criteo_is_cut_by_the_order_of_its_rows(tmp_path: Path) -> None:
    (tmp_path / "criteo").mkdir()
    lines = [criteo_line(row % 2, str(row), "a") for row in range(40)]
    (tmp_path / "criteo/train.txt").write_text("\n".join(lines) + "\n")
    dataset = load_dataset(DataConfig(source="criteo"), tmp_path)
    parts = split_impressions(dataset, SplitConfig(kind="global_time", minimum_users=1)).parts
    assert parts.tolist() == [0] * 32 + [1] * 4 + [2] * 4


@pytest.mark.parametrize("header", [True, False])
def test_avazu(tmp_path: Path, header: bool) -> None:
    values = {name: name for name in AVAZU_COLUMNS} | {
        "click": "1",
        "hour": "14102105",
        "device_ip": "ddd2",
        "C14": "15706",
    }
    (tmp_path / "avazu").mkdir()
    lines = [",".join(AVAZU_COLUMNS)] * header + [",".join(values.values())]
    (tmp_path / "avazu/train.csv").write_text("\n".join(lines) + "\n")
    dataset = load_dataset(DataConfig(source="avazu"), tmp_path)
    [row] = dataset.interactions.to_dict("records")
    assert (row["user_id"], row["item_id"], row["label"]) == ("ddd2", "15706", 1)
    assert row["hour_of_day"] == "05"
    assert "device_ip" not in dataset.context_roles.columns
    assert len(dataset.context_roles.categorical) == 20


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1\t2\t3\n", "Expected 40 columns, label to C26, in"),
        (criteo_line(2, "1", "a") + "\n", "Expected 0 or 1 as label of Criteo. Received: '2', in row 1"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "criteo").mkdir()
    (tmp_path / "criteo/train.txt").write_text(content)
    with pytest.raises(InputError) as error:
        load_dataset(DataConfig(source="criteo"), tmp_path)
    assert message in str(error.value)


def test_without_files_it_says_where_they_belong(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"avazu.*Received: none\. Its terms forbid fetching it"):
        load_dataset(DataConfig(source="avazu"), tmp_path)
