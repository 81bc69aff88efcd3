"""TF-IDF of texts."""

import math

import numpy as np
import pytest

from tfrec.baselines import TFIDFTexts
from tfrec.datasets.ragged import Ragged
from tfrec.errors import InputError

from .contract import RecommenderContract


class TestTFIDFTexts(RecommenderContract):
    tolerance = 1e-6

    @pytest.fixture
    def recommender(self) -> TFIDFTexts:
        return TFIDFTexts([f"word{item % 3} word{item % 4}" for item in range(self.num_items)])


def test_is_the_mean_cosine_of_weighted_words() -> None:
    # Document frequencies of four: red 1, wine 2, white 1, beer 1, so idf = ln(5 / (1 + df)) + 1.
    rare, common = math.log(5 / 2) + 1, math.log(5 / 3) + 1
    both = common**2 / (rare**2 + common**2)  # The cosine of "red wine" and "white wine".
    histories = Ragged(np.array([0, 0, 2, 3], np.int32), np.array([0, 3, 3, 4]))
    scores = TFIDFTexts(["red wine", "white wine", "beer", ""]).score(np.arange(3), histories)
    np.testing.assert_allclose(scores, [[1 / 2, both / 2, 1 / 2, 0], [0] * 4, [0] * 4], rtol=1e-6)


def test_runs_of_words_are_terms_too() -> None:
    texts, history = ["old red wine", "red old wine", "old red beer"], Ragged(np.array([0], np.int32), np.array([0, 1]))
    words = TFIDFTexts(texts).score(np.array([0]), history)[0]
    assert words[1] == pytest.approx(1)
    pairs = TFIDFTexts(texts, ngrams=2).score(np.array([0]), history)[0]
    assert pairs[1] < 0.9


def test_asks_for_words() -> None:
    with pytest.raises(InputError, match="words"):
        TFIDFTexts(["", ""])
