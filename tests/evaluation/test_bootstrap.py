"""Bootstrap intervals, where their ends are known."""

import numpy as np
import pytest

from tfrec.evaluation.bootstrap import bootstrap_interval


def test_two_cases_have_three_means() -> None:
    # Resamples of {0, 1} have the means 0, 0.5 and 1 with probabilities 1/4, 1/2 and 1/4: the quantiles 0.025 and
    # 0.975 are 0 and 1, the quantiles 0.3 and 0.7 are both 0.5.
    values = np.array([[0.0], [1.0]])
    low, high = bootstrap_interval(values, confidence=0.95, samples=2000, seed=0)
    assert (low.tolist(), high.tolist()) == ([0], [1])
    low, high = bootstrap_interval(values, confidence=0.4, samples=2000, seed=0)
    assert (low.tolist(), high.tolist()) == ([0.5], [0.5])


def test_a_constant_has_no_width() -> None:
    low, high = bootstrap_interval(np.full((5, 2), 0.25), confidence=0.95, samples=100, seed=0)
    assert low.tolist() == high.tolist() == [0.25, 0.25]


def test_approaches_the_normal_interval() -> None:
    # Half zeros, half ones, 40,000 cases (so that the resamples come in several chunks): the standard error is
    # 0.5 / 200 = 0.0025 and 1.96 of it 0.0049.
    values = np.repeat([0.0, 1.0], 20_000)[:, None]
    low, high = bootstrap_interval(values, confidence=0.95, samples=500, seed=0)
    assert low[0] == pytest.approx(0.5 - 0.0049, abs=0.0008)
    assert high[0] == pytest.approx(0.5 + 0.0049, abs=0.0008)


def test_columns_share_resamples() -> None:
    values = np.random.default_rng(0).random((30, 1))
    low, high = bootstrap_interval(np.hstack([values, 2 * values]), confidence=0.9, samples=200, seed=3)
    np.testing.assert_allclose(low[1], 2 * low[0])
    np.testing.assert_allclose(high[1], 2 * high[0])


def test_the_seed_decides() -> None:
    values = np.random.default_rng(0).random((30, 1))
    first, again, other = (
        bootstrap_interval(values, confidence=0.9, samples=200, seed=seed)[0].item() for seed in (1, 1, 2)
    )
    assert first == again != other
