"""Every baseline that has a form for a SavedModel, exported and reloaded, beside its own scores."""

import numpy as np
import pytest

from tests.artifacts.baseline_contract import (
    COUNTS,
    HISTORY_LENGTH,
    IDS,
    NUM_ITEMS,
    TRAIN,
    USERS,
    ServedBaselineContract,
)
from tfrec.artifacts.baseline_signatures import BaselineSignatures
from tfrec.artifacts.scorers import LeastSquaresScorer, build_scorer
from tfrec.baselines import (
    BPR,
    EASE,
    IALS,
    SLIM,
    ContentSimilarity,
    ItemKNN,
    Popularity,
    PureSVD,
    Random,
    RecentHistory,
    RecentPopularity,
    SoftImpute,
    SVDPlusPlus,
    SwitchingHybrid,
    TFIDFTexts,
    UserKNN,
    WeightedHybrid,
)
from tfrec.config import NOT_SERVED
from tfrec.datasets.ragged import Ragged
from tfrec.errors import InputError
from tfrec.evaluation import Recommender

TEXTS = [" ".join(f"word{code % divisor}" for divisor in (2, 3, 5)) for code in range(NUM_ITEMS - 1)] + [""]


def cosines(factors: np.ndarray, code: int) -> np.ndarray:
    return factors @ factors[code] / (np.linalg.norm(factors, axis=1) * np.linalg.norm(factors[code]) + 1e-30)


class OfFactors(ServedBaselineContract):
    """Alike are items at a small angle, whatever comes after them."""

    def similar(self, recommender: Recommender, code: int) -> np.ndarray:
        return cosines(recommender.item_factors.astype(np.float64), code)


class OfPopularity(ServedBaselineContract):
    has_similar = False

    def score(self, recommender: Recommender, user: int, codes: list[int]) -> np.ndarray:
        scores = super().score(recommender, user, codes)
        return scores / scores.max()


class TestPopularity(OfPopularity):
    @pytest.fixture(scope="class")
    @classmethod
    def recommender(cls) -> Popularity:
        return Popularity(TRAIN, NUM_ITEMS)


@pytest.mark.slow  # The form is that of the one before.
class TestRecentPopularity(OfPopularity):
    @pytest.fixture(scope="class")
    @classmethod
    def recommender(cls) -> RecentPopularity:
        times = np.random.default_rng(1).permutation(len(TRAIN.values))
        return RecentPopularity(Ragged(TRAIN.values, TRAIN.offsets, {"timestamp": times}), NUM_ITEMS)


class TestItemKNN(ServedBaselineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def recommender(cls) -> ItemKNN:
        return ItemKNN(TRAIN, NUM_ITEMS, neighbours=3)


@pytest.mark.slow  # The form is that of the one before.
class TestSLIM(ServedBaselineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def recommender(cls) -> SLIM:
        return SLIM(TRAIN, NUM_ITEMS, 0.1, 0.1)


class TestEASE(ServedBaselineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def recommender(cls) -> EASE:
        return EASE(TRAIN, NUM_ITEMS, 3.0)


class TestRecentEASE(ServedBaselineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def recommender(cls) -> RecentHistory:
        return RecentHistory(EASE(TRAIN, NUM_ITEMS, 3.0), 2)


class TestPureSVD(OfFactors):
    @pytest.fixture(scope="class")
    @classmethod
    def recommender(cls) -> PureSVD:
        return PureSVD(TRAIN, NUM_ITEMS, 5)


class TestSoftImpute(OfFactors):
    @pytest.fixture(scope="class")
    @classmethod
    def recommender(cls) -> SoftImpute:
        return SoftImpute(TRAIN, NUM_ITEMS, factors=5)


class TestIALS(OfFactors):
    @pytest.fixture(scope="class")
    @classmethod
    def recommender(cls) -> IALS:
        return IALS(TRAIN, NUM_ITEMS, 4, iterations=3)


class TestSVDPlusPlus(OfFactors):
    knows_users = True

    @pytest.fixture(scope="class")
    @classmethod
    def recommender(cls) -> SVDPlusPlus:
        return SVDPlusPlus(TRAIN, NUM_ITEMS, 4, epochs=2)


class TestBPR(OfFactors):
    knows_users = True

    @pytest.fixture(scope="class")
    @classmethod
    def recommender(cls) -> BPR:
        return BPR(TRAIN, NUM_ITEMS, 4, epochs=2)


class TestTFIDFTexts(ServedBaselineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def recommender(cls) -> TFIDFTexts:
        return TFIDFTexts(TEXTS)


class TestContentSimilarity(ServedBaselineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def recommender(cls) -> ContentSimilarity:
        vectors = np.random.default_rng(2).standard_normal((NUM_ITEMS, 6))
        vectors[-1] = 0
        return ContentSimilarity(vectors)


class TestWeightedHybrid(ServedBaselineContract):
    knows_users = True

    @pytest.fixture(scope="class")
    @classmethod
    def recommender(cls) -> WeightedHybrid:
        parts = [SVDPlusPlus(TRAIN, NUM_ITEMS, 4, epochs=2), TFIDFTexts(TEXTS), Popularity(TRAIN, NUM_ITEMS)]
        return WeightedHybrid(parts, [0.5, 0.3, -0.1], "z")


class TestWeightedHybridOfRanks(ServedBaselineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def recommender(cls) -> WeightedHybrid:
        return WeightedHybrid([EASE(TRAIN, NUM_ITEMS, 3.0), ItemKNN(TRAIN, NUM_ITEMS)], [0.7, 0.3], "rank")


class TestSwitchingHybrid(ServedBaselineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def recommender(cls) -> SwitchingHybrid:
        return SwitchingHybrid(TFIDFTexts(TEXTS), EASE(TRAIN, NUM_ITEMS, 3.0), minimum_length=3)


def test_a_history_is_cut_to_its_last_items_when_it_is_measured() -> None:
    ease = EASE(TRAIN, NUM_ITEMS, 3.0)
    signatures = BaselineSignatures(build_scorer(ease), IDS, USERS, COUNTS, history_length=2)
    scores = signatures.score(np.array([0]), Ragged(np.array([9, 3, 7], np.int32), np.array([0, 3])))
    np.testing.assert_allclose(scores[0], ease.weights[3] + ease.weights[7], rtol=1e-6)


def test_what_has_no_form_is_refused() -> None:
    for unfit in (Random(TRAIN, NUM_ITEMS), UserKNN(TRAIN, NUM_ITEMS)):
        assert unfit.name in NOT_SERVED
        with pytest.raises(InputError, match=f"Received: {unfit.name}, which has no form"):
            build_scorer(unfit)
        with pytest.raises(InputError, match=f"Received: {unfit.name}, which has no form"):
            build_scorer(WeightedHybrid([unfit], [1.0]))


def test_an_empty_history_without_a_penalty_does_not_fail_its_batch() -> None:
    # One factor: w = sum of h / sum of h², by hand (0.1 + 0.4) / (0.01 + 0.16) of items 0 and 3.
    factors = np.linspace(0.1, 1.5, NUM_ITEMS, dtype=np.float32)[:, None]
    scorer = LeastSquaresScorer(factors, np.zeros((1, 1), np.float32), regularization=0.0)
    signatures = BaselineSignatures(scorer, IDS, USERS, COUNTS, HISTORY_LENGTH)
    histories = Ragged(np.array([0, 3], np.int32), np.array([0, 0, 2]))
    scores = signatures.score(np.array([0, 1]), histories)
    np.testing.assert_allclose(scores[0], COUNTS / COUNTS.max(), rtol=1e-6)
    np.testing.assert_allclose(scores[1], 0.5 / 0.17 * factors[:, 0], rtol=1e-5)
