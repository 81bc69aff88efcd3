import gzip
import json
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("apache_beam")

from tests.batch.conftest import Batch
from tests.conftest import Trained
from tfrec.artifacts.export import export
from tfrec.batch.recommend import as_seconds
from tfrec.batch.tables import as_id
from tfrec.config import ExportConfig

TOP_K = 7


def write_lines(path: Path, rows: list) -> Path:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows), "utf-8")
    return path


def lists(result: Batch) -> dict[str, list]:
    return {row.user_id: list(row.item_ids) for row in result.table.itertuples()}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, batch, known: Path) -> Batch:
    """Interactions in two shards, in no order, with one bad row of each kind."""
    folder = tmp_path_factory.mktemp("log")
    first = b"who;sku;at\nann;c;30\nbo;x;2024-05-01T00:00:00Z\nann;a;10\nann\n;y;1\ncy;\xe9;2\nann;b;20\n"
    second = b"who;sku;at\nann;d;40\nbo;w;2024-04-30\nbo;;5\ndi;z;soon\nann;e;50\nann;f;50\n"
    (folder / "log-0.csv").write_bytes(first)
    (folder / "log-1.csv.gz").write_bytes(gzip.compress(second))
    columns = [f"--column={each}" for each in ("user_id=who", "item_id=sku", "timestamp=at")]
    return batch("recommend", folder / "out", "--model", known, "--interactions", folder / "log-*", *columns)


def test_histories_are_made_of_interactions_in_their_order(first: Batch) -> None:
    # ann did a to f; the model sees the last four, and equal times keep the order of the rows.
    assert lists(first) == {"ann": ["c", "d", "e", "f"], "bo": ["w", "x"]}
    assert [*map(list, first.table["scores"])] == [[4, 3, 2, 1], [4, 3]]
    assert {*first.table["model"]} == {"known"} and {*first.table["model_version"]} == {3}


def test_bad_rows_are_kept_with_their_reason_and_counted(first: Batch) -> None:
    assert Counter(row["reason"] for row in first.rejected) == {
        "not a row of the table": 1,
        "not UTF-8": 1,
        "not an interaction": 3,
    }
    details = {json.dumps(row["row"]): row["detail"] for row in first.rejected}
    assert details['"ann"'] == "Expected 3 values. Received: 1."
    assert "Received: 'soon'" in details['{"who": "di", "sku": "z", "at": "soon"}']
    assert "Expected an id" in details['{"who": null, "sku": "y", "at": "1"}']
    assert "Expected an id" in details['{"who": "bo", "sku": null, "at": "5"}']
    assert first.summary == {
        "model": "known",
        "model_version": 3,
        "rejected": 5,
        "rejected: not UTF-8": 1,
        "rejected: not a row of the table": 1,
        "rejected: not an interaction": 3,
        "rows read": 13,
        "users answered": 2,
    }
    assert "5 rows were rejected" in first.told


def test_histories_with_what_else_is_known_of_the_user(tmp_path: Path, batch, known: Path) -> None:
    rows = [
        {"user_id": 1, "history_item_ids": ["a", "b"], "exclude_item_ids": ["a"], "age": 31},
        {"user_id": "2", "history_item_ids": [5, 6], "age": None, "country": "NO"},
        {"user_id": "3", "history_item_ids": []},
        {"user_id": "4", "history_item_ids": "a b"},
        {"user_id": "5"},
        {"user_id": "6", "history_item_ids": ["a"], "age": "old"},
        {"history_item_ids": ["a"]},
        "no json",
        "[1]",
        {"user_id": "7", "history_item_ids": ["g"]},
    ]
    path = write_lines(tmp_path / "histories.jsonl", rows)
    result = batch("recommend", tmp_path / "out", "--model", known / "3", "--histories", path, "--count", 2)
    assert lists(result) == {"1": ["b"], "2": ["5", "6"], "3": [], "7": ["g"]}
    assert [*map(list, result.table["scores"])] == [[103], [14, 13], [], [4]]
    assert Counter(row["reason"] for row in result.rejected) == {
        "not a history": 3,
        "refused by the model": 1,
        "not a row of the table": 2,
    }
    assert result.summary["users answered"] + result.summary["rejected"] == result.summary["rows read"] == len(rows)


def test_events_and_times_of_models_that_read_them(tmp_path: Path, batch, diary: Path) -> None:
    log = pd.DataFrame(
        {
            "user_id": [7, 7, 7, 7],
            "item_id": ["d", "a", "b", "c"],
            "timestamp": pd.to_datetime([240, 60, 120, 180], unit="s"),
            "event": ["buy", "view", None, "view"],
        }
    )
    log.to_parquet(tmp_path / "log.parquet")
    result = batch("recommend", tmp_path / "out", "--model", diary, "--interactions", tmp_path / "log.parquet")
    # Only three places: what was before them is excluded.
    assert lists(result) == {"7": ["b||120a", "c|view|180a", "d|buy|240a"]}
    rows = [
        {"user_id": "1", "history_item_ids": ["a"], "history_events": ["view"], "history_timestamps": [60]},
        {"user_id": "2", "history_item_ids": ["a"], "history_events": ["view"]},
        {"user_id": "3", "history_item_ids": ["a"], "history_events": ["view"], "history_timestamps": [60, 61]},
        {"user_id": "4", "history_item_ids": ["a"], "history_events": 5, "history_timestamps": [60]},
    ]
    path = write_lines(tmp_path / "histories.ndjson", rows)
    result = batch("recommend", tmp_path / "again", "--model", diary, "--histories", path)
    assert lists(result) == {"1": ["a|view|60"]}
    assert [row["row"]["user_id"] for row in result.rejected] == ["2", "3", "4"]


def test_a_trained_model_answers_as_when_it_is_asked_itself(
    trained: Trained, tmp_path: Path, batch, simulation
) -> None:
    import tensorflow as tf

    base_path = tmp_path / "movies"
    export(trained.run, tmp_path / "data", base_path, ExportConfig(top_k=TOP_K))
    log = simulation.dataset.interactions
    shuffled = log.sample(frac=1, random_state=0)
    for number in range(3):
        shuffled.iloc[number::3].to_parquet(tmp_path / f"log-{number}.parquet")
    result = batch(
        "recommend", tmp_path / "out", "--model", base_path, "--interactions", tmp_path / "log-*", "--batch-size", 32
    )
    assert result.status == 0 and not result.rejected

    log = log.sort_values(["user_id", "timestamp"], kind="stable")
    histories = log.astype({"user_id": str, "item_id": str}).groupby("user_id")["item_id"].agg(list).sort_index()
    signature = tf.saved_model.load(str(base_path / "1")).signatures["recommend"]
    width = signature.structured_input_signature[1]["history_item_ids"].shape[1]
    count = len(histories)
    answer = signature(
        history_item_ids=tf.constant([row[-width:] + [""] * (width - len(row)) for row in histories]),
        exclude_item_ids=tf.constant([["", *row[:-width], *[""] * (64 - len(row[:-width]))] for row in histories]),
        country=tf.fill([count], ""),
        age=tf.fill([count], np.nan),
    )
    assert result.table["user_id"].tolist() == histories.index.tolist()
    expected = [[id.decode() for id in row if id] for row in answer["item_ids"].numpy()]
    assert [*map(list, result.table["item_ids"])] == expected
    np.testing.assert_allclose(np.stack(result.table["scores"]), answer["scores"].numpy(), atol=1e-5)


def test_an_earlier_output_stays_unless_it_is_to_be_overwritten(tmp_path: Path, batch, known: Path) -> None:
    path = write_lines(tmp_path / "histories.jsonl", [{"user_id": "1", "history_item_ids": ["a"]}, "bad"])
    arguments = ["--model", known, "--histories", path]
    # As a run that was killed may leave it: some shards, no summary.
    output = tmp_path / "out"
    output.mkdir()
    leftover = output / "recommendations-00001-of-00002.parquet"
    leftover.write_bytes(b"half")
    (output / "mine.txt").write_text("not ours")
    refused = batch("recommend", output, *arguments)
    assert refused.status == 2 and "Pass --overwrite" in refused.told
    assert leftover.read_bytes() == b"half" and not refused.summary
    leftover.unlink()
    assert lists(batch("recommend", output, *arguments)) == {"1": ["a"]}
    refused = batch("recommend", output, *arguments)
    assert refused.status == 2
    assert "Received: 3 files of one" in refused.told and "Pass --overwrite" in refused.told
    leftover.write_bytes(b"half")
    write_lines(path, [{"user_id": "2", "history_item_ids": ["b"]}])
    again = batch("recommend", output, *arguments, "--overwrite", "--shards", 3)
    assert lists(again) == {"2": ["b"]} and not again.rejected
    assert len([*output.glob("recommendations-*-of-00003.parquet")]) == 3
    assert (output / "mine.txt").exists()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1714566600, 1714566600),
        ("5.5", 5.5),
        ("2024-05-01T12:30:00Z", 1714566600),
        (datetime(2024, 5, 1, 12, 30), 1714566600),
        (datetime(2024, 5, 1, 12, 30, tzinfo=UTC), 1714566600),
        (date(1970, 1, 2), 86400),
    ],
)
def test_times(value: object, seconds: float) -> None:
    # date -u -d 2024-05-01T12:30:00Z +%s
    assert as_seconds(value) == seconds


@pytest.mark.parametrize("value", [None, "", "soon", float("nan"), [], "inf"])
def test_what_is_no_time(value: object) -> None:
    with pytest.raises(ValueError, match="Expected a time"):
        as_seconds(value)


@pytest.mark.parametrize("value", [None, "", 1.0, True, b"a", []])
def test_what_is_no_id(value: object) -> None:
    with pytest.raises(ValueError, match="Expected an id"):
        as_id(value)
