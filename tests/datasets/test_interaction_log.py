"""Tables that are read file by file come to the same data, and the same division, as all in memory."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tfrec.config import Config
from tfrec.datasets import (
    Ragged,
    history_context,
    interaction_log,
    load_dataset,
    load_positives,
    ordering,
    split_dataset,
)
from tfrec.datasets.dataset import EvaluationSet
from tfrec.errors import InputError


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Many stretches of users, many pieces of a part, and quantiles by counting."""
    monkeypatch.setattr(interaction_log, "_SORTED_AT_ONCE", 100)
    monkeypatch.setattr(interaction_log, "_SCATTERED_AT_ONCE", 70)
    monkeypatch.setattr(ordering, "_PARTITIONED", 10)
    monkeypatch.setattr(ordering, "_PIVOTS", 16)
    yield


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """600 interactions of 30 users with 40 items in 6 files; the items table lacks 5 items, the users table 3 users."""
    generator = np.random.default_rng(0)
    (tmp_path / "logs").mkdir()
    for number in range(6):
        frame = pd.DataFrame(
            {
                "user_id": generator.integers(30, size=100).astype(str),
                "item_id": generator.integers(40, size=100).astype(str),
                "timestamp": generator.integers(1_000, size=100) + 0.5 * (number == 3),
                "event": generator.choice(["view", "buy", "cart"] if number else ["view", "cart"], 100),
                "value": generator.choice([1.0, 2.0, 3.0, np.nan], 100),
            }
        )
        frame.to_csv(tmp_path / "logs" / f"{number}.csv", index=False)
    pd.DataFrame({"item_id": np.arange(35).astype(str), "says": "a thing"}).to_csv(tmp_path / "items.csv", index=False)
    pd.DataFrame({"user_id": np.arange(3, 30).astype(str), "is": "old"}).to_csv(tmp_path / "users.csv", index=False)
    return tmp_path


def configuration(tables: Path, at_once: int, **settings: object) -> Config:
    return Config.load(
        None,
        {
            "data.source": "tables",
            "data.interactions.path": str(tables / "logs"),
            "features.interactions_at_once": at_once,
            "features.history_events": True,
            "features.history_time_gaps": True,
            "split.minimum_users": 1,
            **settings,
        },
    )


def rows(ragged: Ragged) -> list[tuple[object, ...]]:
    columns = {"values": ragged.values, **ragged.context}
    return [(name, columns[name].tolist(), columns[name].dtype.kind) for name in sorted(columns)] + [
        ("offsets", ragged.offsets.tolist())
    ]


def cases(some: EvaluationSet) -> list[object]:
    return [some.users.tolist(), rows(some.histories), rows(some.targets)]


BOTH_TABLES = {"data.items.path": "items.csv", "data.users.path": "users.csv"}


@pytest.mark.parametrize("at_once", [1, 250, 599])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"split.kind": "last_fraction"},
        {"split.kind": "global_time"},
        {"split.kind": "rolling_origin", "split.origin": 2},
        {"split.kind": "cold_items", "split.max_cases": 3},
        {"split.kind": "cold_users", "split.validation_fraction": 0.4, "split.test_fraction": 0.4, **BOTH_TABLES},
        {"data.events": ["buy", "cart"], "split.max_cases": 7},
        {"data.label_threshold": 2.0},
        {"data.interactions.columns": {"timestamp": ":row"}, "features.history_time_gaps": False},
        {**BOTH_TABLES, "data.unknown_items": "keep"},
        {**BOTH_TABLES, "data.unknown_items": "drop"},
    ],
)
def test_the_same_as_in_memory(tables: Path, tmp_path: Path, at_once: int, settings: dict[str, object]) -> None:
    config = configuration(tables, at_once, **settings)
    (tmp_path / "scratch").mkdir()
    dataset = load_positives(config, tables, tmp_path / "scratch")
    expected = load_dataset(config.data, tables).positives(config.data.events)
    assert dataset.log is not None
    assert expected.log is None
    assert (dataset.num_interactions, dataset.name) == (expected.num_interactions, expected.name)
    pd.testing.assert_frame_equal(dataset.items, expected.items)
    pd.testing.assert_frame_equal(dataset.users, expected.users)
    names, expected_names = (list(each.interactions["event"].cat.categories) for each in (dataset, expected))
    assert names == expected_names
    context = history_context(dataset, config.features)
    split = split_dataset(dataset, config.split, context, tmp_path / "scratch")
    wanted = split_dataset(expected, config.split, context)
    assert isinstance(split.train.values, np.memmap)
    assert rows(split.train) == rows(wanted.train)
    assert cases(split.validation) == cases(wanted.validation)
    assert cases(split.test) == cases(wanted.test)
    assert split.notes == wanted.notes
    assert (split.candidates is None) == (wanted.candidates is None)
    if wanted.candidates is not None:
        np.testing.assert_array_equal(split.candidates, wanted.candidates)


def test_files_may_be_empty(tables: Path, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    for name in ("-.csv", "2-.csv", "9.csv"):  # the first, one between, the last
        (tables / "logs" / name).write_text("user_id,item_id,timestamp,event,value\n")
    config = configuration(tables, 100)
    dataset = load_positives(config, tables, tmp_path / "scratch")
    expected = load_dataset(config.data, tables)
    assert rows(dataset.by_user(["timestamp"])) == rows(expected.by_user(["timestamp"]))


def test_a_title_is_a_text_of_the_items(tables: Path, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    with pytest.raises(InputError, match=r"data\.title to be one of .* \['says'\]"):
        load_positives(
            configuration(tables, 100, **BOTH_TABLES, **{"data.title": "cries"}), tables, tmp_path / "scratch"
        )


def test_few_interactions_are_in_memory(tables: Path) -> None:
    config = configuration(tables, 600)
    assert load_positives(config, tables, tables).log is None


def test_what_is_left_out_is_told(tables: Path, tmp_path: Path) -> None:
    with (tables / "logs" / "4.csv").open("a") as file:
        file.write("7,,10,buy,1\n")
    (tmp_path / "scratch").mkdir()
    config = configuration(tables, 250, **BOTH_TABLES, **{"data.events": ["buy"], "data.unknown_items": "drop"})
    with pytest.raises(InputError, match=r"in 4\.csv\. Received 1 of 101 rows.*\n.*row 101: nothing"):
        load_positives(config, tables, tmp_path / "scratch")
    config = configuration(
        tables, 250, **BOTH_TABLES, **{"data.events": ["buy"], "data.unknown_items": "drop", "data.bad_rows": "drop"}
    )
    notes = load_positives(config, tables, tmp_path / "scratch").notes
    assert any(note.startswith("4.csv: 1 of 101 rows left out.") for note in notes)
    assert sum("that the items table lacks" in note for note in notes) == 2  # 300 rows and 300
    assert sum("are no buy: left out." in note for note in notes) == 2
    assert "3 users of the interactions are not in the users table: added." in notes


def test_events_and_columns_are_required(tables: Path, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    with pytest.raises(InputError, match=r"events that occur: \['buy', 'cart', 'view'\]\. Received: \['sale'\]"):
        load_positives(configuration(tables, 250, **{"data.events": ["sale"]}), tables, tmp_path / "scratch")
    with pytest.raises(InputError, match="interactions that count"):
        load_positives(configuration(tables, 250, **{"data.label_threshold": 9}), tables, tmp_path / "scratch")
    pd.read_csv(tables / "logs" / "5.csv").drop(columns="event").to_csv(tables / "logs" / "5.csv", index=False)
    with pytest.raises(InputError, match=r"in .*5\.csv, as in 0\.csv"):
        load_positives(configuration(tables, 250), tables, tmp_path / "scratch")


def test_too_small_a_disk_is_told_before_anything_is_read(tables: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfrec.datasets._BYTES_OF_A_ROW", 10**12)
    with pytest.raises(InputError, match=r"GB of room in .*, to read some 600 rows"):
        load_positives(configuration(tables, 250), tables, tables)
