"""What a model that predicts the click, or its worth, must beat: chance, the mean, and a regression."""

from collections.abc import Mapping

import numpy as np
from sklearn.linear_model import LogisticRegression, PoissonRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder

from tfrec.datasets.splits import TEST, TRAINING
from tfrec.features.prepared_impressions import PreparedImpressions
from tfrec.features.vocabulary import NUM_SPECIAL

RATE_BINS = 50


def click_baselines(
    prepared: PreparedImpressions, labels: np.ndarray, labels_are_known: bool, seed: int = 0
) -> dict[str, np.ndarray]:
    """The log-odds of a click for each tested impression, by the name of what predicts them.

    - `random`: drawn from a standard normal distribution.
    - `global rate`: that of training, for all alike.
    - `logistic regression`: L2-regularised, by scikit-learn, over the one-hot `feature_codes`.

    Args:
        prepared: The data.
        labels: What is predicted: that, or an outcome, 0 or 1 for each impression, [num_impressions].
        labels_are_known: Whether histories hold what was liked and what was not.
        seed: Draws the random ones.

    Returns:
        float64 [num_test_impressions] each, in order.
    """
    train = prepared.impressions.parts == TRAINING
    regression, tested = _fit(LogisticRegression(C=0.1, max_iter=200), prepared, labels, labels_are_known)
    rate = labels[train].mean()
    return {
        "logistic regression": regression.decision_function(tested),
        "global rate": np.full(len(tested), np.log(rate / (1 - rate))),
        "random": np.random.default_rng(seed).standard_normal(len(tested)),
    }


def value_baselines(prepared: PreparedImpressions, labels_are_known: bool, seed: int = 0) -> dict[str, np.ndarray]:
    """What each tested impression is expected to be worth, by the name of what predicts it.

    - `random`: drawn evenly from 0 to twice the mean of training. `mean`: that of training, for all alike.
    - `Poisson regression`: a linear model of the logarithm, L2-regularised, by scikit-learn, over the one-hot
      `feature_codes`.

    Args:
        prepared: The data.
        labels_are_known: As of `click_baselines`.
        seed: Draws the random ones.

    Returns:
        float64 [num_test_impressions] each, in order.
    """
    values = prepared.impressions.values.astype(np.float64)
    mean = values[prepared.impressions.parts == TRAINING].mean()
    regression, tested = _fit(PoissonRegressor(alpha=1e-6, max_iter=200), prepared, values / mean, labels_are_known)
    return {
        "Poisson regression": mean * regression.predict(tested),
        "mean": np.full(len(tested), mean),
        "random": np.random.default_rng(seed).uniform(0, 2 * mean, len(tested)),
    }


def _fit(
    regression: LogisticRegression | PoissonRegressor,
    prepared: PreparedImpressions,
    targets: np.ndarray,
    labels_are_known: bool,
) -> tuple[Pipeline, np.ndarray]:
    """Fits it to the training impressions, over the one-hot `feature_codes`; and these codes of the tested ones."""
    codes = np.stack(feature_codes(prepared, labels_are_known), axis=1)
    train, test = (prepared.impressions.parts == part for part in (TRAINING, TEST))
    pipeline = make_pipeline(OneHotEncoder(handle_unknown="ignore", dtype=np.float32), regression)
    return pipeline.fit(codes[train], targets[train]), codes[test]


def feature_codes(prepared: PreparedImpressions, labels_are_known: bool) -> list[np.ndarray]:
    """All features that are one integer each, [num_impressions]: no vectors, and not several categories in one.

    The last are of the history: in how many doublings it is as long as it is, and, if the labels are known, which part
    of it was liked, in bins from 1; 0 where there is none.
    """
    impressions = prepared.impressions
    tables: list[tuple[Mapping[str, np.ndarray], np.ndarray | slice]] = [
        (prepared.items.arrays, impressions.items + NUM_SPECIAL),
        (prepared.users.arrays, impressions.users + NUM_SPECIAL),
        (prepared.context, slice(None)),
    ]
    codes = [array[rows] for arrays, rows in tables for array in arrays.values() if _is_code(array)]
    shown = np.concatenate([[0], np.cumsum(impressions.remembered)])
    liked = np.concatenate([[0.0], np.cumsum(impressions.labels * impressions.remembered, dtype=np.float64)])
    counts = shown[impressions.past] - shown[impressions.first]
    if not labels_are_known:
        return [*codes, _doublings(liked[impressions.past] - liked[impressions.first])]
    rates = (liked[impressions.past] - liked[impressions.first]) / np.maximum(counts, 1)
    return [*codes, _doublings(counts), np.where(counts > 0, 1 + np.rint(RATE_BINS * rates), 0).astype(np.int64)]


def _is_code(array: np.ndarray) -> bool:
    """Whether an encoded column is one category, or quantile, a row."""
    return array.dtype.kind == "i" and array.ndim == 1


def _doublings(counts: np.ndarray) -> np.ndarray:
    return np.log2(counts + 1).astype(np.int64)
