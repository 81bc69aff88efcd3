"""Reliability diagrams, by hand and on predictions that are right by construction."""

import numpy as np
import pytest

from tfrec.config import EvaluationConfig
from tfrec.evaluation import histogram_edges, reliability

CONFIG = EvaluationConfig(bootstrap_samples=300)


def test_two_predictions() -> None:
    # .25 for eight impressions of which two happened, .5 for four of which three did.
    predictions = np.array([0.25] * 8 + [0.5] * 4)
    happened = np.array([1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0])
    found = reliability("a", happened, predictions, np.arange(12), CONFIG)
    assert found.predicted == (0.25, 0.5)
    assert [each.mean for each in found.happened] == [0.25, 0.75]
    assert found.sizes == (8, 4)
    assert all(low < mean < high for mean, low, high in found.happened)
    assert found.mean_predicted == pytest.approx(1 / 3)
    assert found.mean_happened == pytest.approx(5 / 12)
    assert sum(found.bars) == 12 and len(found.edges) == 41


def test_what_is_right_is_within_its_intervals() -> None:
    generator = np.random.default_rng(0)
    predictions = generator.uniform(0, 1, 20_000)
    happened = generator.random(20_000) < predictions
    found = reliability("a", happened, predictions, generator.integers(0, 2000, 20_000), CONFIG)
    assert len(found.predicted) == 20
    inside = [low <= x <= high for x, (_, low, high) in zip(found.predicted, found.happened, strict=True)]
    assert sum(inside) >= 17  # 19 of 20, in the mean.
    assert not all(low <= x**2 <= high for x, (_, low, high) in zip(found.predicted, found.happened, strict=True))


def test_intervals_draw_users() -> None:
    # Of one half of the users everything happened, of the other nothing: there are 20 draws, not 2,000.
    users = np.repeat(np.arange(20), 100)
    found = reliability("a", users % 2, np.full(2000, 0.5), users, CONFIG)
    [rate] = found.happened
    assert rate.mean == 0.5
    # The deviation of a mean of 20 is .112.
    assert rate.high - rate.low == pytest.approx(2 * 1.96 * 0.112, rel=0.2)


def test_what_is_beyond_the_last_bar_is_in_it() -> None:
    predictions, edges = np.array([0.1, 0.2, 0.9, 0.9]), np.array([0, 0.15, 0.3])
    found = reliability("a", np.zeros(4), predictions, np.arange(4), CONFIG, edges)
    assert found.bars == (1, 3)
    assert histogram_edges(np.zeros(3))[-1] == 1
