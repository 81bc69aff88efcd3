"""What a list is like apart from the right answers in it: one value a case, the mean over cases is reported.

Lists are item codes, best first, int [num_cases, k]; -1 for none. Each list holds an item at least.
"""

import numpy as np
import scipy.sparse

from tfrec.datasets.ragged import Ragged
from tfrec.evaluation.background import Background

SMOOTHING = 0.01


def beyond_accuracy(
    lists: np.ndarray, histories: Ragged, targets: Ragged, background: Background, candidates: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Every measure that the background allows, float64 [num_cases] each; NaN where a case has no value.

    Args:
        lists: What was recommended, int [num_cases, k].
        histories: Of the cases.
        targets: Of the cases.
        background: What training knew.
        candidates: The item codes that may be recommended; None: all.
    """
    values = {
        "novelty": novelty(lists, background.counts),
        "popularity": popularity(lists, background.counts),
        "popularity_lift": popularity_lift(lists, histories, background.counts),
        "serendipity": serendipity(lists, targets, background.counts, candidates),
    }
    if background.vectors is not None:
        values["diversity"] = diversity(lists, background.vectors)
    if background.categories is not None:
        values["miscalibration"] = miscalibration(lists, histories, background.categories)
    return values


def seen(lists: np.ndarray, histories: Ragged) -> np.ndarray:
    """Share of the list that is in the history, of lists that leave nothing out: what a server without a filter would
    repeat."""
    size = np.int64(max(lists.max(initial=0), histories.values.max(initial=0))) + 1
    keys = np.arange(len(lists))[:, None] * size + lists
    is_seen = np.isin(keys, histories.rows * size + histories.values) & (lists >= 0)
    share: np.ndarray = is_seen.sum(axis=1) / (lists >= 0).sum(axis=1)
    return share


def novelty(lists: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean self-information of the list's items in bits, `mean of -log2 p(i)`.

    Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender systems", PNAS 107(10), 2010. `p(i)` is
    the item's share of the training interactions (there of the users), with 1 added to each count: what is new has a
    finite novelty.
    """
    information = -np.log2((counts + 1) / (counts.sum() + len(counts)))
    return _mean(information, lists)


def popularity(lists: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean training interactions of the list's items: average recommendation popularity.

    Yin et al., "Challenging the long tail recommendation", VLDB 2012.
    """
    return _mean(counts, lists)


def popularity_lift(lists: np.ndarray, histories: Ragged, counts: np.ndarray) -> np.ndarray:
    """How much more popular the list is than the history, `(mean of the list - mean of the history) / the latter`.

    Abdollahpouri et al., "The unfairness of popularity bias in recommendation", RecSys workshop RMSE 2019, there of a
    group of users and here of each. NaN without a history, or of one that nobody was trained on.
    """
    lengths = histories.lengths
    sums = np.bincount(histories.rows, counts[histories.values], len(histories))
    before = np.divide(sums, lengths, out=np.full(len(lengths), np.nan), where=sums > 0)
    lift: np.ndarray = popularity(lists, counts) / before - 1
    return lift


def serendipity(
    lists: np.ndarray, targets: Ragged, counts: np.ndarray, candidates: np.ndarray | None = None
) -> np.ndarray:
    """Share of the list that is a target and no obvious one: `|list, without the k most popular, in targets| / k`.

    Ge, Delgado-Battenfeld and Jannach, "Beyond accuracy: evaluating recommender systems by coverage and serendipity",
    RecSys 2010. The obvious are the k candidates with the most training interactions, of those that have any.
    """
    k = lists.shape[1]
    pool = np.arange(len(counts)) if candidates is None else np.unique(candidates)
    obvious = pool[np.argsort(-counts[pool], kind="stable")[:k]]
    obvious = obvious[counts[obvious] > 0]
    size = np.int64(len(counts))
    keys = np.arange(len(lists))[:, None] * size + lists
    hits = np.isin(keys, targets.rows * size + targets.values) & (lists >= 0) & ~np.isin(lists, obvious)
    return hits.sum(axis=1) / k


def diversity(lists: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Mean of `1 - cosine` over the pairs of a list's items, "intra-list diversity"; 0 of a single item.

    Smyth and McClave, "Similarity vs. diversity", ICCBR 2001. An item without a vector, all zeros, is like
    none.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(lengths > 0, lengths, 1)
    counts = (lists >= 0).sum(axis=1)
    chosen = _indicators(lists, len(vectors))
    # The squared length of a sum is the sum of all products, those with themselves included.
    products = np.square(chosen @ unit).sum(axis=1) - chosen @ np.square(unit).sum(axis=1)
    pairs = counts * (counts - 1)
    return np.where(pairs > 0, 1 - products / np.maximum(pairs, 1), 0.0)


def miscalibration(lists: np.ndarray, histories: Ragged, categories: scipy.sparse.csr_array) -> np.ndarray:
    """How far the list's categories are from the history's, `sum of p log(p / q')`; 0: as the history.

    Steck, "Calibrated recommendations", RecSys 2018, section 3: `p` and `q` are the mean shares of the
    categories in history and list, `q' = (1 - a) q + a p` with a = .01, so that it is finite; items count alike.
    Natural logarithm. NaN where the history, or the list, has no category.
    """
    p = _of_one(_indicators_of(histories, categories.shape[0]) @ categories)
    q = _of_one(_indicators(lists, categories.shape[0]) @ categories)
    # Where the list has nothing q' is a p. Only the others are looked up: categories may be many.
    in_both = (p > 0).multiply(q > 0)
    of_p, of_q = (scipy.sparse.csr_array(each.multiply(in_both)) for each in (p, q))
    for each in (of_p, of_q):
        each.sort_indices()  # One place after the other: the same in both.
    of_p.data = of_p.data * np.log((1 - SMOOTHING) * of_q.data / (SMOOTHING * of_p.data) + 1)
    values: np.ndarray = -np.log(SMOOTHING) - of_p.sum(axis=1)
    values[(p.sum(axis=1) == 0) | (q.sum(axis=1) == 0)] = np.nan
    return np.maximum(values, 0)  # Rounding.


def _of_one(sums: scipy.sparse.csr_array) -> scipy.sparse.csr_array:
    """Each row divided by its sum, where it has any."""
    totals = sums.sum(axis=1)
    return scipy.sparse.csr_array(sums.multiply(1 / np.where(totals > 0, totals, 1)[:, None]))


def _mean(values: np.ndarray, lists: np.ndarray) -> np.ndarray:
    present = lists >= 0
    means: np.ndarray = np.where(present, values[lists], 0).sum(axis=1) / present.sum(axis=1)
    return means


def _indicators(lists: np.ndarray, num_items: int) -> scipy.sparse.csr_array:
    return _indicators_of(Ragged.from_lengths(lists[lists >= 0], (lists >= 0).sum(axis=1)), num_items)


def _indicators_of(rows: Ragged, num_items: int) -> scipy.sparse.csr_array:
    """How often each row has each item, [num_rows, num_items]."""
    return scipy.sparse.csr_array((np.ones(len(rows.values)), rows.values, rows.offsets), shape=(len(rows), num_items))
