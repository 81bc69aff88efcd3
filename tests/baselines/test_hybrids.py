"""Several recommenders as one."""

import numpy as np
import pytest

from tfrec.baselines import LearnedBlend, Popularity, Random, SwitchingHybrid, WeightedHybrid
from tfrec.baselines.hybrids import normalised, softmax_weights
from tfrec.datasets.dataset import EvaluationSet
from tfrec.datasets.ragged import Ragged
from tfrec.errors import InputError

from .contract import RecommenderContract
from .random_data import random_rows


class Fixed:
    """Scores a user's items as the user's row says."""

    def __init__(self, scores: np.ndarray) -> None:
        self.scores = scores.astype(np.float32)

    def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        return self.scores[users]


@pytest.mark.parametrize("normalisation", ["rank", "z"])
class TestWeightedHybrid(RecommenderContract):
    @pytest.fixture
    def recommender(self, normalisation: str) -> WeightedHybrid:
        parts = [Popularity(self.train, self.num_items), Random(self.train, self.num_items)]
        return WeightedHybrid(parts, [0.3, 0.7], normalisation)


class TestSwitchingHybrid(RecommenderContract):
    @pytest.fixture
    def recommender(self) -> SwitchingHybrid:
        return SwitchingHybrid(Popularity(self.train, self.num_items), Random(self.train, self.num_items), 3)


class TestLearnedBlend(RecommenderContract):
    @pytest.fixture
    def recommender(self) -> LearnedBlend:
        cases = EvaluationSet(self.users[1:], self.train.take(self.users[1:]), _one_each([11, 10, 9, 8]))
        return LearnedBlend([Popularity(self.train, self.num_items), Random(self.train, self.num_items)], cases)


def test_scores_are_brought_to_one_scale() -> None:
    scores = np.array([[1, 3, 2, 3], [5, 5, 5, 5]], np.float32)
    # Ranks from 0 to 3, the two highest sharing 2.5; all alike share 1.5.
    np.testing.assert_allclose(normalised(scores, "rank"), [[0, 2.5 / 3, 1 / 3, 2.5 / 3], [0.5] * 4])
    # Mean 2.25, variance (1.5625 + .5625 + .0625 + .5625) / 4 = .6875.
    expected = np.array([-1.25, 0.75, -0.25, 0.75]) / 0.6875**0.5
    np.testing.assert_allclose(normalised(scores, "z"), [expected, [0] * 4], rtol=1e-6)


def test_infinite_scores_are_the_highest_and_the_lowest() -> None:
    scores = np.array([[1, -np.inf, 3, np.inf], [np.inf, -np.inf, np.inf, -np.inf], [-np.inf] * 4], np.float32)
    # As 1, 1, 3 and 3; 1, -1, 1 and -1; all alike.
    np.testing.assert_allclose(normalised(scores, "z"), [[-1, -1, 1, 1], [1, -1, 1, -1], [0] * 4])
    np.testing.assert_allclose(normalised(scores[:1], "rank"), [[1 / 3, 0, 2 / 3, 1]], rtol=1e-6)
    # NaN is for whoever ranks to refuse.
    assert np.isnan(normalised(np.array([[1, np.nan, np.inf]]), "z")).any()


def test_a_weighted_hybrid_adds_up_what_is_on_one_scale() -> None:
    first, second = Fixed(np.array([[10, 20, 30]])), Fixed(np.array([[0.3, 0.1, 0.2]]))
    history = Ragged(np.zeros(0, np.int32), np.zeros(2, np.int64))
    scores = WeightedHybrid([first, second], [0.75, 0.25], "rank").score(np.array([0]), history)
    np.testing.assert_allclose(scores, [[0.25, 0.375, 0.75 + 0.125]])
    with pytest.raises(InputError, match="2 weights"):
        WeightedHybrid([first, second], [1.0])


def test_a_switching_hybrid_looks_at_the_length_of_the_history() -> None:
    short, long = Fixed(np.zeros((3, 4))), Fixed(np.ones((3, 4)))
    histories = Ragged(np.array([0, 1, 0, 1, 2], np.int32), np.array([0, 2, 2, 5]))
    hybrid = SwitchingHybrid(short, long, minimum_length=2)
    assert hybrid.score(np.arange(3), histories)[:, 0].tolist() == [1, 0, 1]
    assert SwitchingHybrid(short, long, 9).score(np.arange(3), histories)[:, 0].tolist() == [0, 0, 0]


def test_softmax_weights_are_worked_out_by_hand() -> None:
    # One recommender, one other candidate: of four targets three are 1 above it and one is 1 below. The loss
    # 3/4 ln(1 + e^-w) + 1/4 ln(1 + e^w) is least where σ(w) = 3/4, w = ln 3.
    differences = np.array([-1.0, -1, -1, 1])[:, None, None]
    candidates = np.concatenate([np.zeros((4, 1, 1)), differences], axis=1)
    np.testing.assert_allclose(softmax_weights(candidates, l2=0.0), [np.log(3)], rtol=1e-4)


def test_a_blend_trusts_who_knows() -> None:
    generator = np.random.default_rng(0)
    histories = random_rows(200, 20, share=0.1)
    targets = np.array([generator.choice(np.setdiff1d(np.arange(20), histories[row])) for row in range(200)])
    knowing = generator.normal(size=(200, 20))
    knowing[np.arange(200), targets] += 2
    cases = EvaluationSet(np.arange(200, dtype=np.int32), histories, _one_each(targets))
    blend = LearnedBlend([Fixed(knowing), Fixed(generator.normal(size=(200, 20)))], cases, max_cases=150)
    assert blend.weights[0] > 1
    assert abs(blend.weights[1]) < 0.4


def test_a_blend_learns_from_what_may_be_recommended() -> None:
    # The first knows what may be recommended and nothing else, which is no use among these.
    generator = np.random.default_rng(0)
    candidates, knowing = np.arange(10, 20), generator.normal(size=(200, 20))
    targets = generator.choice(candidates, 200)
    knowing[np.arange(200), targets] += 2
    history = Ragged(np.zeros(200, np.int32), np.arange(201))
    cases = EvaluationSet(np.arange(200, dtype=np.int32), history, _one_each(targets))
    useless = Fixed(np.tile(np.repeat([0, 1], 10), (200, 1)))
    blend = LearnedBlend([useless, Fixed(knowing)], cases, candidates)
    assert abs(blend.weights[0]) < 0.01
    assert blend.weights[1] > 1


def test_a_blend_draws_neither_targets_nor_what_was_done() -> None:
    # Item 0 was done, 1 and 2 are targets: all that is drawn is item 3.
    scores, history = np.array([[9.0, 5, 4, 0]]), Ragged(np.array([0], np.int32), np.array([0, 1]))
    cases = EvaluationSet(np.zeros(1, np.int32), history, Ragged(np.array([1, 2], np.int32), np.array([0, 2])))
    deviation = ((4.5**2 + 0.5**2 + 0.5**2 + 4.5**2) / 4) ** 0.5
    differences = np.zeros((2, 201, 1))
    differences[:, 1:, 0] = np.array([[-5], [-4]]) / deviation
    blend = LearnedBlend([Fixed(scores)], cases, l2=0.1)
    np.testing.assert_allclose(blend.weights, softmax_weights(differences, l2=0.1), rtol=1e-4)


def test_the_penalty_of_a_blends_weights_is_worked_out_by_hand() -> None:
    # No candidate differs from its target in the second: it is the penalty alone, least at 0. In the first, of one
    # target and one candidate 1 below it, the slope -1 / (1 + e^w) + 2 l2 w is 0 at w = 1 for l2 = .5 / (1 + e).
    candidates = np.array([[[0.0, 0], [-1, 0]]])
    np.testing.assert_allclose(softmax_weights(candidates, l2=0.5 / (1 + np.e)), [1, 0], atol=1e-4)


def test_a_blend_needs_cases() -> None:
    empty = Ragged(np.zeros(0, np.int32), np.zeros(1, np.int64))
    with pytest.raises(InputError, match="cases"):
        LearnedBlend([Fixed(np.zeros((1, 2)))], EvaluationSet(empty.values, empty, empty))


def _one_each(targets: np.ndarray | list[int]) -> Ragged:
    return Ragged(np.array(targets, np.int32), np.arange(len(targets) + 1))
