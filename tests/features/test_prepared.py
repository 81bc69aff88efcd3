"""What a run keeps of its data."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tfrec.datasets.dataset import EvaluationSet, Split
from tfrec.datasets.ragged import Ragged
from tfrec.features.columns import Column
from tfrec.features.prepared import Prepared
from tfrec.features.table import FeatureTable


def ragged(rows: list[list[int]]) -> Ragged:
    values = np.array([code for row in rows for code in row], np.int32)
    return Ragged.from_lengths(values, np.array([len(row) for row in rows], np.int64))


def prepared(candidates: np.ndarray | None = None, counts: tuple[int, ...] = (2, 0, 1)) -> Prepared:
    genre = Column("genre/€ .npy", "categorical", vocabulary=("war", "Ärger"))
    price = Column("price", "numeric", mean=2.5, scale=0.1)
    items = FeatureTable(
        ids=np.array(["i0", "ø", "i2"], object),
        columns=(genre, price),
        arrays={
            "genre/€ .npy": np.array([0, 0, 2, 3, 1], np.int32),
            "price": np.arange(10, dtype=np.float32).reshape(5, 2),
            "text": np.arange(20, dtype=np.float32).reshape(5, 4),
        },
    )
    validation = EvaluationSet(np.array([1], np.int32), ragged([[0, 2]]), ragged([[1]]))
    test = EvaluationSet(np.array([0, 1], np.int32), ragged([[], [0]]), ragged([[2, 1], [2]]))
    return Prepared(
        items=items,
        users=FeatureTable(np.array(["u0", "u1"], object), (), {}),
        titles=np.array(["War and Peace", "", "🎬"], object),
        counts=np.array(counts),
        split=Split(ragged([[0, 0], [2]]), validation, test, candidates, notes=("1 user is left out.",)),
    )


def arrays(split: Split) -> list[list[int]]:
    parts = [
        split.train,
        *(rows for cases in (split.validation, split.test) for rows in (cases.histories, cases.targets)),
    ]
    users = [split.validation.users, split.test.users]
    return [array.tolist() for part in parts for array in (part.values, part.offsets)] + [
        each.tolist() for each in users
    ]


@pytest.mark.parametrize("candidates", [None, np.array([0, 2], np.int32)])
def test_comes_back_as_it_was(tmp_path: Path, candidates: np.ndarray | None) -> None:
    before = prepared(candidates)
    before.save(tmp_path / "run" / "prepared")
    after = Prepared.load(tmp_path / "run" / "prepared")
    for old, new in ((before.items, after.items), (before.users, after.users)):
        assert new.ids.tolist() == old.ids.tolist()
        assert new.columns == old.columns
        assert list(new.arrays) == list(old.arrays)
        for name, array in old.arrays.items():
            assert new.arrays[name].dtype == array.dtype
            np.testing.assert_array_equal(new.arrays[name], array)
    assert after.titles.tolist() == before.titles.tolist()
    assert after.counts.tolist() == before.counts.tolist()
    assert arrays(after.split) == arrays(before.split)
    assert after.split.notes == before.split.notes
    if candidates is None:
        assert after.split.candidates is None
    else:
        np.testing.assert_array_equal(after.split.candidates, candidates)


def test_context_and_events_come_back(tmp_path: Path) -> None:
    before = prepared()
    context = {"history_event": np.array([2, 0, 3], np.int32), "history_time": np.array([2**40, 0, -5])}
    histories = replace(before.split.test.histories, context={"history_event": np.array([1], np.int32)})
    split = replace(
        before.split,
        train=replace(before.split.train, context=context),
        test=replace(before.split.test, histories=histories),
    )
    event = Column("history_event", "categorical", vocabulary=("view", "büy"))
    replace(before, split=split, event=event).save(tmp_path / "prepared")
    after = Prepared.load(tmp_path / "prepared")
    assert after.event == event
    assert after.has_time_gaps
    for name, array in context.items():
        assert after.split.train.context[name].dtype == array.dtype
        assert after.split.train.context[name].tolist() == array.tolist()
    assert list(after.split.train.context) == list(context)
    assert after.split.test.histories.context["history_event"].tolist() == [1]
    assert after.split.test.targets.context == after.split.validation.histories.context == {}
    before.save(tmp_path / "without")
    assert Prepared.load(tmp_path / "without").event is None
    assert not Prepared.load(tmp_path / "without").has_time_gaps


def test_replaces_what_was_there(tmp_path: Path) -> None:
    folder = tmp_path / "prepared"
    prepared(np.array([1])).save(folder)
    (folder / "stale.txt").touch()
    prepared(counts=(5, 6, 7)).save(folder)
    assert Prepared.load(folder).counts.tolist() == [5, 6, 7]
    assert Prepared.load(folder).split.candidates is None
    assert not (folder / "stale.txt").exists()


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_save_that_breaks_off_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def break_off(*_: object, **__: object) -> None:
        raise error

    folder = tmp_path / "run" / "prepared"
    with monkeypatch.context() as patch:
        patch.setattr(np, "save", break_off)
        with pytest.raises(type(error)):
            prepared().save(folder)
    assert list(folder.parent.iterdir()) == []

    prepared().save(folder)
    monkeypatch.setattr(np, "save", break_off)
    with pytest.raises(type(error)):
        prepared(counts=(5, 6, 7)).save(folder)
    assert list(folder.parent.iterdir()) == [folder]
    assert Prepared.load(folder).counts.tolist() == [2, 0, 1]


def test_others_may_read_it_as_any_new_folder(tmp_path: Path) -> None:
    prepared().save(tmp_path / "prepared")
    (tmp_path / "plain").mkdir()
    assert (tmp_path / "prepared").stat().st_mode == (tmp_path / "plain").stat().st_mode
