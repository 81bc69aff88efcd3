"""Full-catalogue ranking: every candidate is scored, and none is sampled unless that is asked for.

Sampled candidates can reverse the order of two recommenders: Krichene and Rendle, "On Sampled Metrics for Item
Recommendation", KDD 2020.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tfrec.datasets.dataset import EvaluationSet
from tfrec.datasets.ragged import Ragged
from tfrec.errors import InputError

BATCH_SIZE = 128
SCORES_AT_ONCE = 2**24


class Recommender(Protocol):
    """Anything that scores the whole catalogue. Reports call it by its `name`, if it has one, else by its class."""

    def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        """Scores every item for every user; higher is better, only the order within a row matters.

        Args:
            users: User codes, int32 [batch_size].
            histories: What each user did before, oldest first; [batch_size] rows, some perhaps empty.

        Returns:
            float32 [batch_size, num_items], without NaN.
        """
        ...


@dataclass(frozen=True)
class Ranking:
    """Where a recommender placed the right answers, and what it placed first.

    Attributes:
        ranks: The rank of each target among the items that may be recommended, from 1; rows as in the cases' targets.
        recommended: Item codes, best first, int32 [num_cases, top_k]; -1 where fewer may be recommended.
        with_seen: The same where items of the case's own history are not left out; None: not asked for.
    """

    ranks: Ragged
    recommended: np.ndarray
    with_seen: np.ndarray | None = None


def rank(
    recommender: Recommender,
    cases: EvaluationSet,
    num_items: int,
    *,
    exclude_seen: bool,
    candidates: np.ndarray | None = None,
    top_k: int,
    batch_size: int | None = None,
    with_seen: bool = False,
    num_negatives: int | None = None,
    seed: int = 0,
) -> Ranking:
    """Ranks the targets of each case among all items that may be recommended.

    Other targets of the same case are not removed. A target's rank is the number of items that score at least as high,
    itself included: ties count against the recommender, so that scoring everything alike earns nothing. Among the
    recommended items, ties go to the lower code. Memory grows with `batch_size * num_items`.

    Args:
        recommender: Scores the catalogue.
        cases: The questions and the right answers.
        num_items: Size of the catalogue.
        exclude_seen: Items of a case's own history may not be recommended.
        candidates: The item codes that may be recommended, int [num_candidates]; None: the whole catalogue.
        top_k: How many recommended items to keep.
        batch_size: Cases scored at once. None: 128, and fewer where that would be over 2**24 scores.
        with_seen: Keep the lists that would be made if seen items were not excluded, too.
        num_negatives: Rank a case's targets among themselves and so many others, drawn evenly without replacement from
            what may be recommended to it; all, where there are no more. None: among all.
        seed: Draws these, for every recommender the same.

    Raises:
        InputError: The scores have the wrong shape or hold NaN; a case has no target, a target twice, or a target
            that may not be recommended; or a code is of no item.

    Example:
        >>> ranking = rank(Popularity(split.train, 1682), split.test, 1682, exclude_seen=True, top_k=10)
        >>> recall(ranking.ranks, 10).mean()
    """
    targets = _rows(cases.targets, 0, len(cases))
    _check_codes(cases, candidates, num_items)
    _check_targets(targets, num_items)
    if batch_size is None:
        batch_size = max(1, min(BATCH_SIZE, SCORES_AT_ONCE // num_items))
    # Groups of items for the top-k search. A multiple of 8, so that a row of flags can be counted eight at a time.
    num_groups = 8 * -(-min(8 * top_k, num_items) // 8)
    width = -(-num_items // num_groups) * num_groups
    # NaN marks what may not be recommended, the padding included: it compares as false to everything.
    buffer = np.full((min(batch_size, len(cases)), width), np.nan, np.float32)
    barred = None if candidates is None else np.setdiff1d(np.arange(num_items), candidates)
    ranks = np.empty(len(targets.values), np.int32)
    recommended = np.empty((len(cases), top_k), np.int32)
    unfiltered = np.empty((len(cases), top_k), np.int32) if with_seen else None

    def place(costs: np.ndarray, histories: Ragged, start: int, stop: int) -> None:
        if barred is not None:
            costs[:, barred] = np.nan
        if unfiltered is not None:
            unfiltered[start:stop] = _lowest(costs, top_k, num_groups)
        if exclude_seen:
            costs.reshape(-1)[histories.rows * width + histories.values] = np.nan
        if num_negatives is not None:
            _keep_sample(costs, _rows(targets, start, stop), num_negatives, (seed, start))
        ranks[targets.offsets[start] : targets.offsets[stop]] = _ranks(costs, _rows(targets, start, stop))
        recommended[start:stop] = _lowest(costs, top_k, num_groups)

    placed: Future[None] | None = None
    with ThreadPoolExecutor(1) as beside:  # One batch is placed while the next one is scored.
        for start in range(0, len(cases), batch_size):
            stop = min(start + batch_size, len(cases))
            users, histories = cases.users[start:stop], _rows(cases.histories, start, stop)
            scores = _checked_scores(recommender, users, histories, num_items)
            if placed is not None:
                placed.result()
            costs = buffer[: stop - start]
            # The type too: counts without a sign would turn round.
            np.negative(scores, out=costs[:, :num_items], dtype=np.float32, casting="unsafe")
            placed = beside.submit(place, costs, histories, start, stop)
        if placed is not None:
            placed.result()
    return Ranking(Ragged(ranks, targets.offsets), recommended, unfiltered)


def name_of(recommender: Recommender) -> str:
    """What reports call a recommender: its `name`, else its class."""
    return getattr(recommender, "name", type(recommender).__name__)


def _rows(ragged: Ragged, start: int, stop: int) -> Ragged:
    offsets = ragged.offsets[start : stop + 1]
    taken = slice(offsets[0], offsets[-1])
    context = {name: array[taken] for name, array in ragged.context.items()}
    return Ragged(ragged.values[taken], offsets - offsets[0], context)


def _check_codes(cases: EvaluationSet, candidates: np.ndarray | None, num_items: int) -> None:
    of_candidates = np.zeros(0, int) if candidates is None else candidates
    named = {"histories": cases.histories.values, "targets": cases.targets.values, "candidates": of_candidates}
    for name, codes in named.items():
        if len(codes) and not 0 <= codes.min() <= codes.max() < num_items:
            raise InputError(
                f"Expected item codes from 0 to {num_items - 1} in the {name}. Received: {codes.min()} to "
                f"{codes.max()}. Evaluate on the catalogue that was split."
            )


def _check_targets(targets: Ragged, num_items: int) -> None:
    lengths = np.diff(targets.offsets)
    if not lengths.all():
        raise InputError(f"Expected a target in every case. Received: none in case {np.argmin(lengths)}.")
    pairs = np.sort(targets.rows * num_items + targets.values)
    if (pairs[1:] == pairs[:-1]).any():
        raise InputError("Expected the targets of a case to be different items. Received: a target twice.")


def _checked_scores(recommender: Recommender, users: np.ndarray, histories: Ragged, num_items: int) -> np.ndarray:
    scores = np.asarray(recommender.score(users, histories))
    expected = (len(users), num_items)
    if scores.shape != expected:
        raise InputError(f"Expected scores of shape {expected} from '{name_of(recommender)}'. Received: {scores.shape}")
    if np.isnan(scores.min()):
        user = users[np.isnan(scores).any(axis=1)][0]
        raise InputError(
            f"Expected a number for every score from '{name_of(recommender)}'. Received: NaN for user code {user}. "
            "If it was trained, the training diverged: lower training.learning_rate."
        )
    return scores


def _keep_sample(costs: np.ndarray, targets: Ragged, num_negatives: int, seed: tuple[int, int]) -> None:
    """Bars what is neither a target nor drawn. seed: That of all cases, and the number of the first of these."""
    first, start = seed
    for row, allowed in enumerate(~np.isnan(costs)):
        allowed[targets[row]] = False
        others = np.random.default_rng([first, start + row]).permutation(np.flatnonzero(allowed))
        costs[row, others[num_negatives:]] = np.nan


def _ranks(costs: np.ndarray, targets: Ragged) -> np.ndarray:
    """The number of costs that are no higher than each target's. costs: [batch_size, width], width a multiple of 8."""
    ranks = np.empty(len(targets.values), np.int32)
    lengths = np.diff(targets.offsets)
    # One pass a target position, over the cases that have so many: memory stays that of one batch.
    for position in range(lengths.max()):
        rows = np.flatnonzero(lengths > position)
        chosen = costs if position == 0 else costs[rows]
        places = targets.offsets[rows] + position
        limits = chosen[np.arange(len(rows)), targets.values[places]]
        if np.isnan(limits).any():
            raise InputError(
                "Expected targets that may be recommended: candidates, outside the case's own history. Received: item "
                f"code {targets.values[places[np.isnan(limits)][0]]}. Split again."
            )
        no_worse = chosen <= limits[:, None]
        ranks[places] = np.bitwise_count(no_worse.view(np.uint64)).sum(axis=1)
    return ranks


def _lowest(costs: np.ndarray, top_k: int, num_groups: int) -> np.ndarray:
    """The columns of the lowest costs of each row, lowest first, int32 [batch_size, top_k]; -1 where only NaN is left.

    The k-th lowest minimum of disjoint groups is no lower than the k-th lowest cost, for k groups have a cost that is
    no higher. It leaves little more than k columns to sort.
    """
    # costs: [batch_size, width] -> [batch_size, width / num_groups, num_groups]
    minima = np.fmin.reduce(costs.reshape(len(costs), -1, num_groups), axis=1)
    kth = min(top_k, num_groups) - 1
    limits = np.partition(minima, kth, axis=1)[:, kth]
    # fmin: where fewer than k groups have a cost, the limit is NaN and every cost is let through.
    shortlisted = np.flatnonzero(costs <= np.fmin(limits, np.inf)[:, None])
    rows, columns = np.divmod(shortlisted, costs.shape[1])
    counts = np.bincount(rows, minlength=len(costs))
    # Cost and column in one number, since numbers are sorted ten times as quickly as places: the bits of a float, those
    # of a negative one turned round, are in its order. 0.0 is added for -0.0.
    bits = (costs.reshape(-1)[shortlisted] + np.float32(0)).view(np.int32)
    ordered = np.where(bits < 0, bits ^ 0x7FFFFFFF, bits).astype(np.int64)
    nothing = np.iinfo(np.int64).max  # Its column is -1.
    shortlist = np.full((len(costs), max(top_k, counts.max())), nothing)
    shortlist[np.arange(shortlist.shape[1]) < counts[:, None]] = (ordered << 32) | columns
    shortlist.sort(axis=1)
    return shortlist[:, :top_k].astype(np.int32)
