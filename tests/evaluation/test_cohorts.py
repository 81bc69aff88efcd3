"""Cohorts, written out."""

import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from scipy import sparse

from tfrec.config import EvaluationConfig
from tfrec.evaluation import Background, Estimate, Report, evaluate, format_beyond, format_cohorts
from tfrec.evaluation.cohorts import cohorts, popularity_bands

from .examples import Table, cases, ragged

CONFIG = EvaluationConfig(cutoffs=(1, 2), monitor="ndcg@2", bootstrap_samples=50)


def test_bands_hold_half_of_the_interactions_then_forty_per_cent() -> None:
    # In order of popularity the interactions before an item are 0, 10, 15, 18 and 19 of 20; half is 10, .9 is 18.
    assert popularity_bands(np.array([1, 10, 0, 5, 3, 1])).tolist() == [2, 0, 3, 1, 1, 2]


def test_each_target_is_in_a_group_of_each_kind() -> None:
    found = cohorts(
        np.array([0, 2]),
        ragged([[], [1] * 9]),
        ragged([[1, 2], [0]]),
        Background(np.array([1, 10, 0]), np.array([0, 4, 9])),
    )
    assert {name: group.tolist() for name, group in found.items()} == {
        "history 0": [True, True, False],
        "history 1-9": [False, False, True],
        "users new": [True, True, False],
        "users known": [False, False, True],
        "items head": [True, False, False],
        "items tail": [False, False, True],
        "items new": [False, True, False],
    }


def test_a_history_is_in_one_group_by_its_length() -> None:
    lengths = [0, 1, 9, 10, 49, 50, 199, 200, 999]
    found = cohorts(
        np.arange(9),
        ragged([[1] * length for length in lengths]),
        ragged([[0]] * 9),
        Background(np.ones(2), np.ones(9)),
    )
    groups = {name: np.flatnonzero(group).tolist() for name, group in found.items() if name.startswith("history")}
    assert groups == {
        "history 0": [0],
        "history 1-9": [1, 2],
        "history 10-49": [3, 4],
        "history 50-199": [5, 6],
        "history 200+": [7, 8],
    }


def test_a_cohort_is_measured_on_its_own_targets() -> None:
    # User 0 gets 0, 1, 2 and wants 0 and 2; user 1 has seen 0, gets 1, 2 and wants 2.
    background = Background(np.array([10, 0, 1]), np.array([0, 1]), categories=sparse.eye_array(3, format="csr"))
    report = evaluate(Table([[3, 2, 1]] * 2), cases([[], [0]], [[0, 2], [2]]), 3, CONFIG, background=background)
    tail, head = report.cohorts["items tail"], report.cohorts["items head"]
    # Target 2 is third of user 0 and second of user 1; target 0 is first of user 0.
    assert (tail.num_cases, tail.metrics["recall@2"].mean, tail.metrics["mrr@2"].mean) == (2, 0.5, 0.25)
    assert (head.num_cases, head.metrics["recall@1"].mean) == (1, 1)
    assert report.cohorts["users known"].metrics["recall@2"].mean == 1
    # Lists of one: 0 and 1; of user 0 there is no history to be calibrated to, of user 1 that is item 0.
    assert report.beyond["popularity@1"].mean == 5
    assert (report.beyond_cases["popularity@1"], report.beyond_cases["miscalibration@1"]) == (2, 1)
    # Without a filter user 1 would get 0 again.
    assert report.beyond["seen@1"].mean == 0.5
    assert report.beyond["miscalibration@1"].mean == pytest.approx(np.log(100))
    assert Report.from_dict(json.loads(json.dumps(report.to_dict()))) == report
    console = Console(width=100)
    with console.capture() as capture:
        console.print(format_cohorts([report], "recall@2"))
        console.print(format_beyond([report]))
    lines = [line.split() for line in capture.get().splitlines()]
    assert ["items", "tail", "2", "0.5000"] in lines
    assert ["popularity@1", "5"] in lines
    assert ["miscalibration@1", "4.605", "(1", "cases)"] in lines
    saved = report.to_dict()["beyond_accuracy"]
    assert (saved["popularity@1"]["num_cases"], saved["miscalibration@1"]["num_cases"]) == (2, 1)


def test_what_is_obvious_is_so_among_the_candidates() -> None:
    # Of the candidates 1 and 2 the more popular is 1; of all it would be 0, and the hit no obvious one.
    background = Background(np.array([10, 5, 1]), np.array([1]))
    arguments = Table([[3, 2, 1]]), cases([[]], [[1]]), 3, CONFIG
    report = evaluate(*arguments, np.array([1, 2]), background=background)
    assert report.beyond["serendipity@1"].mean == 0
    # Named twice a candidate is one: of two, one is recommended first.
    assert evaluate(*arguments, np.array([1, 2, 2])).metrics["coverage@1"].mean == 0.5


def test_a_measure_that_the_first_model_has_no_value_of_is_shown_too() -> None:
    background = Background(np.array([10, 0, 1]), np.array([1]), categories=sparse.csr_array([[1.0], [0], [0]]))
    # The first recommends what has no category.
    reports = [
        evaluate(Table([scores]), cases([[0]], [[2]]), 3, CONFIG, np.array([0, 1, 2]), background=background)
        for scores in ([1, 3, 2], [1, 3, 2])
    ]
    reports[1] = replace(reports[1], beyond={"miscalibration@1": Estimate(0.5)}, beyond_cases={"miscalibration@1": 1})
    assert "miscalibration@1" not in reports[0].beyond
    console = Console(width=100)
    with console.capture() as capture:
        console.print(format_beyond(reports))
    assert ["miscalibration@1", "0.5"] in [line.split() for line in capture.get().splitlines()]
