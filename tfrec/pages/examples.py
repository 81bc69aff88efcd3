"""Cases to look at, with titles: drawn at random, never picked."""

import numpy as np

from tfrec.datasets.dataset import EvaluationSet
from tfrec.datasets.impressions import Impressions
from tfrec.datasets.splits import TEST
from tfrec.evaluation import Recommender, rank
from tfrec.features.prepared import Prepared
from tfrec.pages.findings import ClickExample, ListExample, Recommended, Shown, Target

NUM_OF_EACH = 6
"""Hits, and misses."""
NUM_USERS = 6
NUM_SHOWN = 10
LATEST = 8


def list_examples(
    recommender: Recommender, prepared: Prepared, hits: np.ndarray, top_k: int, seed: int = 0
) -> tuple[ListExample, ...]:
    """Six test cases with a target among the first `top_k` and six without, or as many as there are.

    Args:
        recommender: What was tested.
        prepared: The run's data.
        hits: Whether a target was among the first `top_k`, of each test case, [num_cases].
        top_k: How many are shown.
        seed: Draws the cases.
    """
    split = prepared.split
    generator = np.random.default_rng(seed)
    chosen = np.concatenate([_draw(np.flatnonzero(kind), NUM_OF_EACH, generator) for kind in (hits > 0, hits == 0)])
    if not len(chosen):
        return ()
    test = split.test
    cases = EvaluationSet(test.users[chosen], test.histories.take(chosen), test.targets.take(chosen))
    ranking = rank(
        recommender, cases, len(prepared.counts), exclude_seen=True, candidates=split.candidates, top_k=top_k
    )
    titles = prepared.titles
    return tuple(
        ListExample(
            history_length=len(history := cases.histories[case]),
            history=tuple(str(titles[item]) for item in history[-LATEST:]),
            targets=tuple(
                Target(str(titles[item]), int(place))
                for item, place in zip(cases.targets[case], ranking.ranks[case], strict=True)
            ),
            recommended=tuple(
                Recommended(str(titles[item]), int(prepared.counts[item]), bool(item in cases.targets[case]))
                for item in ranking.recommended[case]
                if item >= 0
            ),
        )
        for case in range(len(cases))
    )


def click_examples(
    impressions: Impressions, titles: np.ndarray, predictions: np.ndarray, seed: int = 0
) -> tuple[ClickExample, ...]:
    """What six users were shown in the test, who clicked some of it and not all; or as many as there are.

    Args:
        impressions: All.
        titles: Of the items, [num_items].
        predictions: Of the test impressions, in order, [num_test_impressions].
        seed: Draws the users.
    """
    numbers = np.flatnonzero(impressions.parts == TEST)
    users, labels = impressions.users[numbers], impressions.labels[numbers]
    clicked, shown = (np.bincount(users, each) for each in (labels, np.ones(len(users))))
    mixed = np.flatnonzero((clicked > 0) & (clicked < shown))
    chosen = _draw(mixed, NUM_USERS, np.random.default_rng(seed))
    return tuple(_of_user(user, impressions, titles, predictions, numbers) for user in chosen)


def _of_user(
    user: int, impressions: Impressions, titles: np.ndarray, predictions: np.ndarray, numbers: np.ndarray
) -> ClickExample:
    places = np.flatnonzero(impressions.users[numbers] == user)
    first = numbers[places[0]]
    before = np.arange(impressions.first[first], impressions.past[first])
    liked = before[(impressions.labels[before] > 0) & impressions.remembered[before]]
    best = places[np.argsort(-predictions[places], kind="stable")[:NUM_SHOWN]]
    return ClickExample(
        liked=tuple(str(titles[item]) for item in impressions.items[liked[-LATEST:]]),
        num_shown=len(places),
        shown=tuple(
            Shown(
                str(titles[impressions.items[numbers[place]]]),
                round(float(predictions[place]), 5),
                bool(impressions.labels[numbers[place]] > 0),
            )
            for place in best
        ),
    )


def _draw(codes: np.ndarray, most: int, generator: np.random.Generator) -> np.ndarray:
    return np.sort(generator.permutation(codes)[:most])
