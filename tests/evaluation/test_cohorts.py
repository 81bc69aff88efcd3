"""Cohorts, written out."""

import json

import numpy as np
import pytest
from rich.console import Console
from scipy import sparse

from tfrec.config import EvaluationConfig
from tfrec.evaluation import Background, Report, evaluate, format_beyond, format_cohorts
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
    assert report.beyond["miscalibration@1"].mean == pytest.approx(np.log(100))
    assert Report.from_dict(json.loads(json.dumps(report.to_dict()))) == report
    console = Console(width=100)
    with console.capture() as capture:
        console.print(format_cohorts([report], "recall@2"))
        console.print(format_beyond([report]))
    lines = [line.split() for line in capture.get().splitlines()]
    assert ["items", "tail", "2", "0.5000"] in lines
    assert ["popularity@1", "5"] in lines
