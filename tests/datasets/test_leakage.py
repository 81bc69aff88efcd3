"""Divisions that leak are refused; what split_dataset makes is not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.conftest import Trained
from tfrec.datasets import EvaluationSet, Ragged, Split
from tfrec.datasets.leakage import check_split
from tfrec.errors import InputError
from tfrec.evaluate import app
from tfrec.features.prepared import Prepared
from tfrec.training.run import Run


def ragged(*rows: list[int]) -> Ragged:
    return Ragged.from_lengths(
        np.array([code for row in rows for code in row], np.int32), np.array([len(row) for row in rows])
    )


def part(histories: list[list[int]], targets: list[list[int]]) -> EvaluationSet:
    return EvaluationSet(np.arange(len(targets), dtype=np.int32), ragged(*histories), ragged(*targets))


# Two users; user 0 did 1, 2, 3, 4 and user 1 did 5, 6, 7, 8.
SOUND = Split(
    train=ragged([1, 2], [5, 6]),
    validation=part([[1, 2], [5, 6]], [[3], [7]]),
    test=part([[1, 2, 3], [5, 6, 7]], [[4], [8]]),
)


@pytest.mark.parametrize("kind", ["leave_last_out", "last_fraction", "global_time"])
def test_a_sound_split_passes(kind: str) -> None:
    check_split(SOUND, kind)


@pytest.mark.parametrize(
    ("leaking", "message"),
    [
        (
            replace(SOUND, train=ragged([1, 2, 3], [5, 6])),
            r"no validation target in its user's training\..* code 3 of user code 0",
        ),
        # Item 9 comes after the history: training has seen what evaluation may not.
        (replace(SOUND, train=ragged([1, 2], [5, 6, 9])), "validation history begins with.* for user code 1"),
        (replace(SOUND, train=ragged([1, 9], [5, 6])), "validation history begins with.* for user code 0"),
        (replace(SOUND, test=part([[1, 2, 4], [5, 6]], [[4], [8]])), "no test target in its own history"),
        (
            replace(SOUND, test=part([[1, 2, 3], [5, 6]], [[4], []])),
            "in every test case. Received: none for user code 1",
        ),
        (replace(SOUND, test=part([[1, 2, 3], [5, 6]], [[4], [8, 8]])), "item code 8 twice for user code 1"),
    ],
)
def test_a_leaking_split_is_refused(leaking: Split, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_split(leaking, "leave_last_out")


def test_training_after_the_cut_is_refused() -> None:
    check_split(SOUND, "global_time", trained_until=9, cut=10)
    with pytest.raises(
        InputError, match=r"before the cut, at 10. Received: a training interaction at 10\. The split leaks"
    ):
        check_split(SOUND, "global_time", trained_until=10, cut=10)


def test_held_out_items_in_training_or_histories_are_refused() -> None:
    cold = replace(SOUND, test=part([[1, 2], [5, 6]], [[4], [8]]), candidates=np.array([3, 4, 7, 8], np.int32))
    check_split(cold, "cold_items")
    # User 1 was trained on the target of user 0.
    with pytest.raises(InputError, match=r"no held-out item in training\..* code 3"):
        check_split(replace(cold, train=ragged([1, 2], [5, 3])), "cold_items")
    with pytest.raises(InputError, match=r"no held-out item in a test history\..* code 7"):
        check_split(replace(cold, test=part([[1, 2], [5, 7]], [[4], [8]])), "cold_items")


def test_tested_users_in_training_are_refused() -> None:
    first, second = (EvaluationSet(np.array([user], np.int32), ragged([1]), ragged([2])) for user in (0, 1))
    cold = Split(ragged([], [], [3]), first, second)
    check_split(cold, "cold_users")
    for name, trained in (("validation", ragged([5], [])), ("test", ragged([], [5]))):
        with pytest.raises(InputError, match=rf"no {name} user in training\."):
            check_split(replace(cold, train=trained), "cold_users")
    with pytest.raises(InputError, match=r"validation that are not tested\. Received: user code 0"):
        check_split(replace(cold, test=first), "cold_users")


def test_a_run_whose_saved_split_leaks_is_not_evaluated(prepared: Prepared, trained: Trained, tmp_path: Path) -> None:
    split = prepared.split
    cases = split.test
    own = Ragged.from_lengths(
        cases.targets.values, np.bincount(cases.users[cases.targets.rows], minlength=len(split.train))
    )
    assert len(split.train) == len(own)
    run = Run.create(tmp_path / "run", trained.run.config)
    replace(prepared, split=replace(split, train=own)).save(run.prepared)
    result = CliRunner().invoke(app, [str(run.folder)])
    assert result.exit_code == 2
    assert "The split leaks: split again" in " ".join(result.output.split())
