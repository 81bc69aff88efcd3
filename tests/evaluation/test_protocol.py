"""Full-catalogue ranking, against ranks counted by hand and a sort in plain Python."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfrec.config import EvaluationConfig
from tfrec.datasets.dataset import EvaluationSet
from tfrec.datasets.ragged import Ragged
from tfrec.errors import InputError
from tfrec.evaluation import evaluate
from tfrec.evaluation.protocol import rank

from .examples import Table, cases, ragged


def test_counts_ties_against_the_recommender() -> None:
    # Items 1, 2 and 3 share the highest score: the target, 3, takes the last of their places, the third.
    ranking = rank(Table([[1, 5, 5, 5, 0]]), cases([[]], [[3]]), 5, exclude_seen=True, top_k=2)
    assert ranking.ranks.values.tolist() == [3]
    assert ranking.recommended.tolist() == [[1, 2]]


def test_a_recommender_that_scores_everything_alike_comes_last() -> None:
    # Seven items, one of them seen: the target is the sixth of six.
    ranking = rank(Table(np.zeros((1, 7))), cases([[4, 4]], [[0]]), 7, exclude_seen=True, top_k=1)
    assert ranking.ranks.values.tolist() == [6]


def test_seen_items_make_room_and_other_targets_do_not() -> None:
    # Scores order the items 0, 1, 2, 3, 4. Without the seen item 0, target 2 is second and target 4 fourth.
    table, case = Table([[9, 8, 7, 6, 5]]), cases([[0]], [[4, 2]])
    ranking = rank(table, case, 5, exclude_seen=True, top_k=5)
    assert ranking.ranks.values.tolist() == [4, 2]
    assert ranking.recommended.tolist() == [[1, 2, 3, 4, -1]]
    # With it, third and fifth.
    ranking = rank(table, case, 5, exclude_seen=False, top_k=5)
    assert ranking.ranks.values.tolist() == [5, 3]
    assert ranking.recommended.tolist() == [[0, 1, 2, 3, 4]]


def test_ranks_only_candidates() -> None:
    # Of the candidates 1, 3 and 4, target 3 is second.
    ranking = rank(
        Table([[9, 8, 7, 6, 5]]), cases([[]], [[3]]), 5, exclude_seen=True, candidates=np.array([4, 3, 1]), top_k=2
    )
    assert ranking.ranks.values.tolist() == [2]
    assert ranking.recommended.tolist() == [[1, 3]]


def test_a_target_scored_minus_infinity_is_last_of_the_allowed() -> None:
    ranking = rank(
        Table([[1, -np.inf, 2, -np.inf]]), cases([[2]], [[3]]), 4, exclude_seen=True, candidates=None, top_k=4
    )
    assert ranking.ranks.values.tolist() == [3]
    assert ranking.recommended.tolist() == [[0, 1, 3, -1]]


def test_reads_tables_that_are_part_of_a_longer_one() -> None:
    whole = ragged([[0], [2], [1]])
    part = Ragged(whole.values, whole.offsets[1:])
    case = EvaluationSet(np.array([0, 1], np.int32), ragged([[], []]), part)
    # User 0's target is 2, its best item; user 1's is 1, its worst.
    ranking = rank(Table([[1, 2, 3], [3, 1, 2]]), case, 3, exclude_seen=True, top_k=1)
    assert ranking.ranks.values.tolist() == [1, 3]
    assert ranking.ranks.offsets.tolist() == [0, 1, 2]


def test_a_recommender_is_given_the_context_of_its_cases() -> None:
    class Latest:
        """Scores the item that the latest of a user's times names."""

        def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
            latest = [histories.context["time"][end - 1] for end in histories.offsets[1:]]
            return np.eye(9, dtype=np.float32)[latest]

    histories = ragged([[0, 1], [2], [0, 1, 2]])
    histories = Ragged(histories.values, histories.offsets, {"time": np.array([1, 3, 4, 5, 6, 7])})
    case = EvaluationSet(np.arange(3, dtype=np.int32), histories, ragged([[3], [4], [7]]))
    ranking = rank(Latest(), case, 9, exclude_seen=True, top_k=1, batch_size=2)
    assert ranking.ranks.values.tolist() == [1, 1, 1]


@st.composite
def problems(draw: st.DrawFn) -> dict[str, Any]:
    num_items = draw(st.integers(1, 40))
    codes = st.integers(0, num_items - 1)
    candidates = draw(st.none() | st.sets(codes, min_size=1))
    pool = sorted(range(num_items) if candidates is None else candidates)
    targets = draw(
        st.lists(st.lists(st.sampled_from(pool), min_size=1, max_size=5, unique=True), min_size=1, max_size=6)
    )
    histories = [[code for code in draw(st.lists(codes, max_size=12)) if code not in row] for row in targets]
    # Few distinct scores, so that ties are the rule.
    score = st.sampled_from([-np.inf, -1.5, -0.0, 0.0, 1.0, 2.0, np.inf])
    scores = draw(st.lists(st.lists(score, min_size=num_items, max_size=num_items), min_size=6, max_size=6))
    return {
        "num_items": num_items,
        "candidates": candidates,
        "pool": pool,
        "targets": targets,
        "histories": histories,
        "scores": scores,
        "exclude_seen": draw(st.booleans()),
        "top_k": draw(st.integers(1, 45)),
        "batch_size": draw(st.integers(1, 7)),
    }


@given(problems())
def test_agrees_with_sorting(problem: dict[str, Any]) -> None:
    ranking = rank(
        Table(problem["scores"]),
        cases(problem["histories"], problem["targets"]),
        problem["num_items"],
        exclude_seen=problem["exclude_seen"],
        candidates=None if problem["candidates"] is None else np.array(problem["pool"]),
        top_k=problem["top_k"],
        batch_size=problem["batch_size"],
    )
    for case, (history, targets) in enumerate(zip(problem["histories"], problem["targets"], strict=True)):
        scores = problem["scores"][case]
        allowed = [code for code in problem["pool"] if not (problem["exclude_seen"] and code in history)]
        expected = [sum(scores[code] >= scores[target] for code in allowed) for target in targets]
        assert ranking.ranks[case].tolist() == expected
        best = sorted(allowed, key=lambda code: (-scores[code], code))[: problem["top_k"]]
        assert ranking.recommended[case].tolist() == best + [-1] * (problem["top_k"] - len(best))


def test_agrees_with_sorting_a_large_catalogue() -> None:
    generator = np.random.default_rng(0)
    # 3,000 items against 200 distinct scores: with top_k = 20, the search goes through several blocks of groups.
    scores = generator.integers(0, 200, (40, 3000)).astype(np.float32)
    targets = generator.integers(0, 3000, (40, 1))
    ranking = rank(Table(scores), cases([[]] * 40, targets.tolist()), 3000, exclude_seen=True, top_k=20, batch_size=16)
    order = np.argsort(-scores, axis=1, stable=True)
    np.testing.assert_array_equal(ranking.recommended, order[:, :20])
    np.testing.assert_array_equal(ranking.ranks.values, (scores >= np.take_along_axis(scores, targets, 1)).sum(axis=1))


def test_lists_signed_zeros_as_ties_and_infinities_at_the_ends() -> None:
    scores = np.array([[-0.0, 0.0, -1.5, np.inf, 2.0, -np.inf, -1e-40, 1e-40, 0.0]], np.float32)
    ranking = rank(Table(scores), cases([[]], [[2]]), 9, exclude_seen=True, top_k=9)
    assert ranking.recommended.tolist() == [[3, 4, 7, 0, 1, 8, 6, 2, 5]]
    assert ranking.ranks.values.tolist() == [8]


def test_leaves_the_scores_alone() -> None:
    table = Table([[1, 2, 3]])
    table.score = lambda users, histories: table.scores  # type: ignore[method-assign]
    rank(table, cases([[0]], [[1]]), 3, exclude_seen=True, top_k=1)
    assert table.scores.tolist() == [[1, 2, 3]]


@pytest.mark.parametrize(
    ("scores", "histories", "targets", "message"),
    [
        ([[1, np.nan, 2]], [[]], [[0]], "from 'table'. Received: NaN for user code 0"),
        ([[1, 2]], [[]], [[0]], r"shape \(1, 3\) from 'table'. Received: \(1, 2\)"),
        ([[1, 2, 3]], [[1]], [[1]], "outside the case's own history. Received: item code 1"),
        ([[1, 2, 3], [1, 2, 3]], [[], []], [[1], []], "none in case 1"),
        ([[1, 2, 3]], [[]], [[1, 1]], "a target twice"),
    ],
)
def test_refuses_what_cannot_be_ranked(
    scores: list[list[float]], histories: list[list[int]], targets: list[list[int]], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        rank(Table(scores), cases(histories, targets), 3, exclude_seen=True, top_k=1)


def test_keeps_what_would_be_listed_if_nothing_were_left_out() -> None:
    # Item 1 is no candidate, item 0 was done.
    ranking = rank(
        Table([[9, 8, 7, 6]]), cases([[0]], [[3]]), 4, exclude_seen=True, candidates=np.array([0, 2, 3]), top_k=2,
        with_seen=True,
    )  # fmt: skip
    assert ranking.with_seen is not None
    assert ranking.with_seen.tolist() == [[0, 2]]
    assert ranking.recommended.tolist() == [[2, 3]]


def test_a_sample_is_of_what_may_be_recommended_and_the_same_for_all() -> None:
    generator = np.random.default_rng(0)
    scores, histories = generator.permuted(np.tile(np.arange(60.0), (40, 1)), axis=1), [[0, 1, 2]] * 40
    targets, candidates = [[3, 4]] * 40, np.arange(50)
    allowed = set(range(3, 50))

    def sampled(scores: np.ndarray, **options: Any) -> np.ndarray:
        ranking = rank(
            Table(scores), cases(histories, targets), 60, exclude_seen=True, candidates=candidates, top_k=60,
            num_negatives=options.pop("num_negatives", 10), **options,
        )  # fmt: skip
        for case, listed in enumerate(ranking.recommended):
            listed = listed[listed >= 0].tolist()
            order = sorted(listed, key=lambda code: -scores[case, code])
            assert listed == order
            assert ranking.ranks[case].tolist() == [1 + order.index(3), 1 + order.index(4)]
        return np.sort(ranking.recommended, axis=1)

    drawn = sampled(scores)
    assert {len(set(row) - {-1}) for row in drawn.tolist()} == {12}
    assert all({3, 4} <= set(row) - {-1} <= allowed for row in drawn.tolist())
    assert len({tuple(row) for row in drawn.tolist()}) == 40
    # Each of 45 items is in 10 of 45 samples, 8.9 of 40: none is left out, and none is in all.
    assert set(np.unique(drawn)) - {-1} == allowed
    np.testing.assert_array_equal(sampled(-scores, batch_size=7), drawn)
    assert (sampled(scores, seed=1) != drawn).any()
    assert {len(set(row) - {-1}) for row in sampled(scores, num_negatives=999).tolist()} == {47}


def test_refuses_a_target_that_is_no_candidate() -> None:
    with pytest.raises(InputError, match="item code 2"):
        rank(Table([[1, 2, 3]]), cases([[]], [[0, 2]]), 3, exclude_seen=True, candidates=np.array([0, 1]), top_k=1)


@pytest.mark.parametrize(
    ("history", "target", "candidates"), [([-1], 1, None), ([9], 1, None), ([], 3, None), ([], 0, [0, 1, 3])]
)
def test_refuses_codes_of_no_item(history: list[int], target: int, candidates: list[int] | None) -> None:
    allowed = None if candidates is None else np.array(candidates)
    with pytest.raises(InputError, match="item codes from 0 to 2"):
        rank(Table([[1, 2, 3]]), cases([history], [[target]]), 3, exclude_seen=True, candidates=allowed, top_k=1)


@pytest.mark.parametrize("kind", [np.uint8, np.uint32, np.int64, bool, np.float64])
def test_scores_of_any_type_of_number_are_in_their_order(kind: type) -> None:
    class Counts:
        def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
            return np.array([[0, 1, 0]], kind)

    ranking = rank(Counts(), cases([[]], [[1]]), 3, exclude_seen=True, top_k=3)
    assert ranking.ranks.values.tolist() == [1]
    assert ranking.recommended.tolist() == [[1, 0, 2]]


def test_names_a_recommender_without_a_name_by_its_class() -> None:
    class Diverged:
        def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
            return np.full((len(users), 3), np.nan, np.float32)

    with pytest.raises(InputError, match="'Diverged'"):
        rank(Diverged(), cases([[]], [[0]]), 3, exclude_seen=True, top_k=1)


@given(problems())
def test_metrics_agree_with_relevance_read_off_a_sorted_list(problem: dict[str, Any]) -> None:
    cutoffs = (1, 3, 10)
    candidates = None if problem["candidates"] is None else np.array(problem["pool"])
    config = EvaluationConfig(cutoffs=cutoffs, monitor="ndcg@10", bootstrap_samples=1)
    scores = np.array(problem["scores"])
    per_case = evaluate(
        Table(scores), cases(problem["histories"], problem["targets"]), problem["num_items"], config, candidates
    ).per_case
    for case, (history, targets) in enumerate(zip(problem["histories"], problem["targets"], strict=True)):
        allowed = np.setdiff1d(problem["pool"], history)
        for k in cutoffs:
            # Each target in a list of its own, last among equals: what the other targets do does not matter to it.
            gains = np.zeros(k)
            for target in targets:
                order = np.lexsort((allowed == target, -scores[case, allowed]))
                relevance = (allowed[order] == target)[:k]
                gains[: len(relevance)] += relevance
            discounts = 1 / np.log2(np.arange(2, k + 2))
            expected = {
                "recall": gains.sum() / len(targets),
                "hit_rate": float(gains.any()),
                "ndcg": gains @ discounts / discounts[: len(targets)].sum(),
                "mrr": 1 / (1 + np.argmax(gains > 0)) if gains.any() else 0.0,
            }
            for name, value in expected.items():
                assert per_case[f"{name}@{k}"][case] == pytest.approx(value, abs=1e-6)


def test_fewer_cases_at_once_where_the_catalogue_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    class Counting(Table):
        def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
            sizes.append(len(users))
            return super().score(users, histories)

    monkeypatch.setattr("tfrec.evaluation.protocol.SCORES_AT_ONCE", 10)
    ranking = rank(Counting(np.eye(4)), cases([[]] * 4, [[0], [1], [2], [3]]), 4, exclude_seen=True, top_k=1)
    assert sizes == [2, 2]
    assert ranking.ranks.values.tolist() == [1, 1, 1, 1]
