"""Ranking metrics with binary relevance: from the ranks of the right answers to one value a case.

`ranks` has a row for each case, the 1-based rank of each of its targets, in any order; no row is empty. Below, `R` is
the number of targets of a case. Definitions: Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR
techniques", ACM TOIS 20(4), 2002 (gain and discount); Manning, Raghavan and Schütze, "Introduction to Information
Retrieval", 2008, chapter 8 (recall and the rest); Voorhees, "The TREC-8 Question Answering Track Report", 1999
(reciprocal rank).
"""

from collections.abc import Callable, Mapping

import numpy as np

from tfrec.datasets.ragged import Ragged


def recall(ranks: Ragged, k: int) -> np.ndarray:
    """Share of the targets among the first k: `|{targets with rank <= k}| / R`.

    Below 1 at best where `R > k`: the denominator is not cut at k.

    Returns:
        float64 [num_cases]

    Example:
        >>> recall(Ragged(np.array([1, 12, 3]), np.array([0, 2, 3])), 10)
        array([0.5, 1. ])
    """
    return _sum((ranks.values <= k).astype(np.float64), ranks) / np.diff(ranks.offsets)


def hit_rate(ranks: Ragged, k: int) -> np.ndarray:
    """1 where any target is among the first k, else 0. Equals recall where each case has one target.

    Returns:
        float64 [num_cases]
    """
    return (_first(ranks) <= k).astype(np.float64)


def ndcg(ranks: Ragged, k: int) -> np.ndarray:
    """Normalised discounted cumulative gain, `DCG / ideal DCG`.

    `DCG = sum of 1 / log2(1 + rank)` over the targets with `rank <= k`; the ideal has the targets at the ranks
    `1 .. min(k, R)`.

    Returns:
        float64 [num_cases]
    """
    gains = np.where(ranks.values <= k, 1 / np.log2(1.0 + ranks.values), 0.0)
    ideals = np.cumsum(1 / np.log2(1.0 + np.arange(1, k + 1)))
    values: np.ndarray = _sum(gains, ranks) / ideals[np.minimum(np.diff(ranks.offsets), k) - 1]
    return values


def mrr(ranks: Ragged, k: int) -> np.ndarray:
    """Reciprocal rank of the first target, `1 / min(rank)`; 0 where that is beyond k. Its mean is the MRR.

    Returns:
        float64 [num_cases]
    """
    first = _first(ranks)
    return np.where(first <= k, 1.0 / first, 0.0)


METRICS: Mapping[str, Callable[[Ragged, int], np.ndarray]] = {
    "recall": recall,
    "hit_rate": hit_rate,
    "ndcg": ndcg,
    "mrr": mrr,
}
"""The metrics that have a value for each case, by name."""


def coverage(recommended: np.ndarray, num_candidates: int, k: int) -> float:
    """Share of the candidates that are among the first k of anyone, "catalogue coverage".

    Ge, Delgado-Battenfeld and Jannach, "Beyond accuracy: evaluating recommender systems by coverage and serendipity",
    RecSys 2010.

    Args:
        recommended: Item codes, best first, int [num_cases, at least k]; -1 for none.
        num_candidates: How many items may be recommended.
        k: The cutoff.
    """
    is_recommended = np.zeros(recommended.max(initial=-1) + 2, bool)
    is_recommended[recommended[:, :k]] = True  # The last flag is that of -1.
    return float(np.count_nonzero(is_recommended[:-1]) / num_candidates)


def _sum(values: np.ndarray, ranks: Ragged) -> np.ndarray:
    return np.add.reduceat(values, ranks.offsets[:-1])


def _first(ranks: Ragged) -> np.ndarray:
    return np.minimum.reduceat(ranks.values, ranks.offsets[:-1])
