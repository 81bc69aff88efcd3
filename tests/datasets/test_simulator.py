import numpy as np
import pytest

from tfrec.config import SplitConfig
from tfrec.datasets import EvaluationSet, Ragged, split_dataset
from tfrec.datasets.simulator import GENRES, simulate


def one_case(user: int, history: list[int], target: int) -> EvaluationSet:
    return EvaluationSet(
        np.array([user], np.int32),
        Ragged.from_lengths(np.array(history, np.int32), np.array([len(history)])),
        Ragged.from_lengths(np.array([target], np.int32), np.array([1])),
    )


def test_shapes_and_text() -> None:
    simulation = simulate(num_users=30, num_items=20, interactions_per_user=7, num_groups=3)
    dataset = simulation.dataset
    assert (dataset.num_users, dataset.num_items, len(dataset.interactions)) == (30, 20, 210)
    for title, genre, group in zip(dataset.items["title"], dataset.items["genre"], simulation.item_groups, strict=True):
        assert genre == GENRES[group]
        assert title.startswith(f"A {genre} story about ")
    assert not dataset.interactions.duplicated(["user_id", "item_id"]).any()
    assert dataset.interactions["timestamp"].is_monotonic_increasing
    np.testing.assert_allclose(simulation.preferences.sum(axis=1), 1)


def test_seed_decides() -> None:
    same, again, other = (simulate(num_users=20, seed=seed).dataset for seed in (3, 3, 4))
    assert same.interactions.equals(again.interactions)
    assert same.items.equals(again.items)
    assert not same.interactions.equals(other.interactions)


def test_first_choices_follow_the_preferences() -> None:
    # Two groups of two items; attraction 1 and 1/2: of the liked 0.8 * 2/3 and 0.8 * 1/3, of the other 0.2 * likewise.
    simulation = simulate(4000, 4, 1, num_groups=2, loyalty=0.8, popularity=1.0)
    expected = np.array([[8, 2, 4, 1], [2, 8, 1, 4]]) / 15
    np.testing.assert_allclose(simulation.preferences[:2], expected)
    items, users = simulation.dataset.item_codes, simulation.dataset.user_codes
    for group in range(2):
        observed = np.bincount(items[users % 2 == group], minlength=4) / 2000
        # Three standard deviations of a share among 2,000 are at most 3 * 0.5 / sqrt(2000) = 0.034.
        np.testing.assert_allclose(observed, expected[group], atol=0.034)


def test_next_probabilities_exclude_what_was_seen() -> None:
    simulation = simulate(2, 4, 1, num_groups=2, loyalty=0.8, popularity=1.0)
    # Of 8, 2, 4, 1 fifteenths the first is gone: 2, 4, 1 of 7 are left.
    np.testing.assert_allclose(simulation.next_probabilities(one_case(0, [0], 1)), np.array([[0, 2, 4, 1]]) / 7)
    np.testing.assert_allclose(simulation.next_probabilities(one_case(0, [], 1)), np.array([[8, 2, 4, 1]]) / 15)


def test_sequences_follow_the_successor() -> None:
    simulation = simulate(2, 6, 2, num_groups=2, follow=0.9, popularity=0.0, loyalty=1.0)
    successor = simulation.successors[0]
    assert simulation.item_groups[successor] == simulation.item_groups[0]
    # Half of 10 % goes to each of the two unseen items of the group, and 90 % to the successor.
    probabilities = simulation.next_probabilities(one_case(0, [0], successor))[0]
    assert probabilities[successor] == pytest.approx(0.95)
    assert probabilities.sum() == pytest.approx(1)
    # The successor was seen: the rest is shared by the one that is left.
    (left,) = {0, 2, 4} - {0, successor}
    assert simulation.next_probabilities(one_case(0, [successor, 0], left))[0, left] == pytest.approx(1)


def test_sequences_are_followed() -> None:
    simulation = simulate(300, 60, 2, follow=0.9)
    dataset = simulation.dataset
    order = np.lexsort((dataset.interactions["timestamp"], dataset.user_codes))
    first, second = dataset.item_codes[order].reshape(-1, 2).T
    # 90 % and a little chance; three standard deviations among 300 are 3 * 0.3 / sqrt(300) = 0.052.
    assert np.mean(simulation.successors[first] == second) == pytest.approx(0.905, abs=0.052)


def test_best_recall_ranks_by_the_truth() -> None:
    simulation = simulate(2, 4, 1, num_groups=2, loyalty=0.8, popularity=1.0)
    # User 0 has not seen anything: 8, 2, 4, 1 rank the items 0, 2, 1, 3.
    assert simulation.best_recall(one_case(0, [], 2), k=2) == 1
    assert simulation.best_recall(one_case(0, [], 1), k=2) == 0
    assert simulation.best_recall(one_case(0, [], 1), k=2, candidates=np.array([1, 2])) == 1


def test_truth_beats_popularity() -> None:
    simulation = simulate()
    test = split_dataset(simulation.dataset, SplitConfig()).test
    popular = np.argsort(-np.bincount(simulation.dataset.item_codes))[:10]
    by_popularity = np.isin(test.targets.values, popular).mean()
    assert simulation.best_recall(test, 10) > 2 * by_popularity


@pytest.mark.parametrize("options", [{"num_groups": 0}, {"num_groups": 11}, {"num_items": 5}])
def test_impossible_sizes_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="Expected"):
        simulate(**options)
