"""What a model that predicts the click must beat: chance, the rate of clicks, and a logistic regression."""

from collections.abc import Mapping

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from tfrec.datasets.impressions import TEST, TRAINING, Impressions
from tfrec.features.prepared_impressions import PreparedImpressions

RATE_BINS = 20


def click_baselines(prepared: PreparedImpressions, labels_are_known: bool, seed: int = 0) -> dict[str, np.ndarray]:
    """The log-odds of a click for each tested impression, by the name of what predicts them.

    - `random`: drawn from a standard normal distribution.
    - `global rate`: that of training, for all alike.
    - `logistic regression`: L2-regularised, by scikit-learn, over ids and all attributes that are no vectors; and how
      much of what was before the user liked, if histories tell.

    Args:
        prepared: The data.
        labels_are_known: Whether histories hold what was liked and what was not.
        seed: Draws the random ones.

    Returns:
        float64 [num_test_impressions] each, in order.
    """
    impressions = prepared.impressions
    train, test = impressions.parts == TRAINING, impressions.parts == TEST
    features = _one_hot(_codes(prepared, labels_are_known))
    regression = LogisticRegression(C=0.1, max_iter=200).fit(features[train], impressions.labels[train])
    rate = impressions.labels[train].mean()
    return {
        "logistic regression": regression.decision_function(features[test]),
        "global rate": np.full(test.sum(), np.log(rate / (1 - rate))),
        "random": np.random.default_rng(seed).standard_normal(test.sum()),
    }


def _codes(prepared: PreparedImpressions, labels_are_known: bool) -> list[np.ndarray]:
    """Integers [num_impressions], one array a feature."""
    impressions = prepared.impressions
    tables: list[tuple[Mapping[str, np.ndarray], np.ndarray | slice]] = [
        (prepared.items.arrays, impressions.items + 2),
        (prepared.users.arrays, impressions.users + 2),
        (prepared.context, slice(None)),
    ]
    codes = [array[rows] for arrays, rows in tables for array in arrays.values() if array.dtype.kind == "i"]
    codes = [code for code in codes if code.ndim == 1]
    return [*codes, _rates(impressions)] if labels_are_known else codes


def _rates(impressions: Impressions) -> np.ndarray:
    """Of all that a user was shown before, how much was liked: a bin, 0 if nothing was shown."""
    shown = np.concatenate([[0], np.cumsum(impressions.remembered)])
    liked = np.concatenate([[0.0], np.cumsum(impressions.labels * impressions.remembered, dtype=np.float64)])
    counts = shown[impressions.past] - shown[impressions.first]
    rates = (liked[impressions.past] - liked[impressions.first]) / np.maximum(counts, 1)
    return np.where(counts > 0, 1 + np.rint(RATE_BINS * rates), 0).astype(np.int64)


def _one_hot(codes: list[np.ndarray]) -> csr_matrix:
    """[num_impressions, total number of values]"""
    sizes = [int(code.max()) + 1 for code in codes]
    offsets = np.cumsum([0, *sizes[:-1]])
    columns = np.stack([code + offset for code, offset in zip(codes, offsets, strict=True)], axis=1)
    num_rows, num_features = columns.shape
    data = np.ones(columns.size, np.float32)
    return csr_matrix(
        (data, columns.ravel(), np.arange(num_rows + 1) * num_features), shape=(num_rows, int(sum(sizes)))
    )
