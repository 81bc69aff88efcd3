"""What a comparison has chosen, fitted anew."""

from typing import Any

import numpy as np
import pytest

from tests.baselines.random_data import random_rows
from tfrec.baselines import EASE, Popularity, RecentHistory, SwitchingHybrid, TFIDFTexts, WeightedHybrid
from tfrec.datasets.dataset import EvaluationSet, Split
from tfrec.errors import InputError
from tfrec.evaluation import Report
from tfrec.leaderboard import Material, Result, fit_chosen, parts_of

TRAIN = random_rows()
NOTHING = EvaluationSet(np.zeros(0, np.int32), TRAIN.take(np.zeros(0, int)), TRAIN.take(np.zeros(0, int)))
TEXTS = [f"word{item % 3} and word{item % 4}" for item in range(14)]
MATERIAL = Material(Split(TRAIN, NOTHING, NOTHING), 14, TEXTS)
BLEND = ["ease", "popularity", "tf_idf_texts"]


def results(**parameters: dict[str, Any]) -> dict[str, Result]:
    return {name: Result(Report(name, 0, 0.95, {}), chosen, 1, None, None, None) for name, chosen in parameters.items()}


RESULTS = results(
    ease={"regularization": 7.0, "history_length": 3},
    tf_idf_texts={"ngrams": 2, "sublinear": True},
    user_knn={"similarity": "cosine", "neighbours": 50},
    weighted_hybrid={"share": 0.25, "normalisation": "rank", "parts": ["ease", "tf_idf_texts"]},
    switching_hybrid={"minimum_length": 4, "parts": ["ease", "popularity"]},
    learned_blend={"normalisation": "z", "parts": BLEND, "weights": [0.5, 0.2, 0.3]},
)


def test_each_is_fitted_with_what_was_chosen() -> None:
    ease, texts = RecentHistory(EASE(TRAIN, 14, 7.0), 3), TFIDFTexts(TEXTS, 2, True)
    popularity = Popularity(TRAIN, 14)
    expected = {
        "ease": ease,
        "tf_idf_texts": texts,
        "weighted_hybrid": WeightedHybrid([ease, texts], [0.75, 0.25], "rank"),
        "switching_hybrid": SwitchingHybrid(popularity, ease, 4),
        "learned_blend": WeightedHybrid([ease, popularity, texts], [0.5, 0.2, 0.3], "z"),
    }
    users = np.arange(len(TRAIN))
    for name, recommender in expected.items():
        found = fit_chosen(name, RESULTS, MATERIAL).score(users, TRAIN)
        np.testing.assert_allclose(found, recommender.score(users, TRAIN), atol=1e-6, err_msg=name)


def test_what_was_not_compared_is_refused() -> None:
    with pytest.raises(InputError, match=r"compared: ease, .*weighted_hybrid\. Received: 'slim'\. .* --baseline slim"):
        parts_of("slim", RESULTS)
    with pytest.raises(InputError, match="nothing yet"):
        parts_of("slim", {})


def test_what_can_not_be_served_is_refused() -> None:
    with pytest.raises(InputError, match=r"Received: user_knn: it asks the rows of all users .* take item_knn"):
        parts_of("user_knn", RESULTS)
    of_neighbours = results(switching_hybrid={"minimum_length": 3, "parts": ["user_knn", "popularity"]})
    with pytest.raises(InputError, match=r"switching_hybrid: switching_hybrid is made of user_knn, and it asks"):
        parts_of("switching_hybrid", of_neighbours)
    with_model = results(learned_blend={"parts": ["ease", "popularity", "two_tower (runs/shop)"]})
    with pytest.raises(InputError, match=r"learned_blend with two_tower \(runs/shop\) in it"):
        parts_of("learned_blend", with_model)


def test_data_that_a_part_does_not_fit_any_more() -> None:
    with pytest.raises(InputError, match=r"data that tf_idf_texts fits\. Received: the items have no texts"):
        fit_chosen("tf_idf_texts", RESULTS, Material(MATERIAL.split, 14))
