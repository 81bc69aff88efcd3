"""Lists that were made elsewhere, against ranks counted by hand."""

from collections.abc import Sequence
from math import log2

import numpy as np
import pytest

from tfrec.config import EvaluationConfig
from tfrec.errors import InputError
from tfrec.evaluation import RecordedLists, evaluate
from tfrec.evaluation.protocol import rank

from .examples import cases

CONFIG = EvaluationConfig(cutoffs=(2, 3), monitor="ndcg@2", bootstrap_samples=10)


def lists(items: Sequence[Sequence[int]], scores: Sequence[Sequence[float]], users: Sequence[int]) -> RecordedLists:
    return RecordedLists("theirs", np.array(users), np.array(items), np.array(scores, np.float32), num_items=6)


def test_is_measured_as_recorded_whatever_the_order_of_the_users() -> None:
    # User 0's target, 4, is first; user 1's, 2, is second; user 2's, 0, is on no list.
    recorded = lists([[1, 2, 3], [5, 3, 1], [4, 1, 0]], [[3, 2, 1], [9, 8, 7], [0.3, 0.2, 0.1]], users=[1, 2, 0])
    case = cases([[2], [], [2]], [[4], [2], [0]])
    report = evaluate(recorded, case, 6, CONFIG)
    assert report.name == "theirs"
    assert report.per_case["ndcg@2"] == pytest.approx([1, 1 / log2(3), 0])
    assert report.metrics["recall@3"].mean == pytest.approx(2 / 3)
    assert report.metrics["coverage@2"].mean == pytest.approx(5 / 6)  # 4, 1; 1, 2; 5, 3


def test_a_target_that_is_not_listed_is_last() -> None:
    # Items 3 and 4 are listed, 0 is seen: of the five that may be recommended the target 5 takes the last place.
    ranking = rank(lists([[3, 4]], [[1, 0]], [0]), cases([[0]], [[5]]), 6, exclude_seen=True, top_k=2)
    assert ranking.ranks.values.tolist() == [5]
    assert ranking.recommended.tolist() == [[3, 4]]


def test_ties_count_against_it() -> None:
    # 3 is first on the list, with the score of 4.
    ranking = rank(lists([[3, 4]], [[1, 1]], [0]), cases([[]], [[3]]), 6, exclude_seen=True, top_k=2)
    assert ranking.ranks.values.tolist() == [2]


def test_an_empty_place_is_no_item() -> None:
    # Were -1 the last item, 5, the target would lose its score.
    ranking = rank(lists([[5, -1]], [[1, 0]], [0]), cases([[]], [[5]]), 6, exclude_seen=True, top_k=1)
    assert ranking.ranks.values.tolist() == [1]


@pytest.mark.parametrize(
    ("items", "scores", "users", "message"),
    [
        ([[1, 2]], [[2.0, 1.0]], [0, 1], "shapes"),
        ([[1, 2], [1, 2]], [[2, 1], [2, 1]], [0, 0], "one list a user"),
        ([[1, 6]], [[2, 1]], [0], "from 0 to 5.*Received: 6"),
        ([[1, 1]], [[2, 1]], [0], "an item twice"),
        ([[1, 2]], [[1, 2]], [0], "best first"),
        ([[1, 2]], [[2, np.nan]], [0], "best first"),
        ([[-1, 2]], [[2, 1]], [0], "best first and -1 last"),
    ],
)
def test_refuses_what_is_no_list(
    items: list[list[int]], scores: list[list[float]], users: list[int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        lists(items, scores, users)


def test_refuses_lists_with_what_the_user_did_before() -> None:
    with pytest.raises(InputError, match="Received: item code 4 for user code 0"):
        evaluate(lists([[1, 4]], [[2, 1]], [0]), cases([[3, 4]], [[1]]), 6, CONFIG)


def test_refuses_users_without_a_list() -> None:
    with pytest.raises(InputError, match="none for user code 1"):
        evaluate(lists([[1, 4]], [[2, 1]], [0]), cases([[3], [3]], [[1], [1]]), 6, CONFIG)
