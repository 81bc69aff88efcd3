"""The randomisation test against every sign written out, and Holm's own arithmetic."""

import itertools

import numpy as np
import pytest

from tfrec.config import EvaluationConfig
from tfrec.evaluation import Report, compare, corrected
from tfrec.evaluation.permutation import holm, sign_flip_p_value


def test_agrees_with_all_signs() -> None:
    differences = np.array([0.3, -0.1, 0.25, 0.0, 0.05, 0.2, 0.4])
    signs = np.array(list(itertools.product([-1, 1], repeat=7)))
    exact = np.mean(np.abs(signs @ differences) >= abs(differences.sum()) - 1e-12)
    # The signs that matter are six. As far from 0 are: all alike, all but that of .05, all but that of .1; each twice.
    assert exact == 6 / 64
    assert sign_flip_p_value(differences, samples=20000, seed=0) == pytest.approx(exact, abs=0.01)


def test_no_difference_is_certain_and_no_p_value_is_zero() -> None:
    assert sign_flip_p_value(np.zeros(5), samples=99, seed=0) == 1
    assert sign_flip_p_value(np.ones(60), samples=99, seed=0) == 0.01


def test_holm_multiplies_and_keeps_the_order() -> None:
    # Of four: .01 times 4, .02 times 3, .03 times 2, which is .06 as well, .9 times 1.
    assert holm(np.array([0.03, 0.01, 0.9, 0.02])) == pytest.approx([0.06, 0.04, 0.9, 0.06])
    assert holm(np.array([0.6, 0.7])).tolist() == [1, 1]


def test_comparisons_are_corrected_for_their_number() -> None:
    def report(name: str, values: list[float]) -> Report:
        return Report(name, len(values), 0.95, {}, {"ndcg@1": np.array(values)})

    config = EvaluationConfig(cutoffs=(1,), monitor="ndcg@1", bootstrap_samples=99)
    model, same, worse = report("model", [1.0] * 60), report("same", [1.0] * 60), report("worse", [0.0] * 60)
    comparisons = [compare(model, each, "ndcg@1", config) for each in (same, worse)]
    assert [each.p_value for each in comparisons] == [1, 0.01]
    assert [each.p_value for each in corrected(comparisons)] == [1, 0.02]
    assert corrected([]) == []
