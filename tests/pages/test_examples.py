"""Which cases are shown, and what of them."""

import numpy as np

from tests.evaluation.examples import Table, cases
from tests.models.ranking import prepared_rankers
from tfrec.datasets.dataset import Split
from tfrec.datasets.ragged import Ragged
from tfrec.datasets.splits import TEST
from tfrec.features.prepared import Prepared
from tfrec.features.table import FeatureTable
from tfrec.pages.examples import click_examples, list_examples

NOTHING = FeatureTable(np.zeros(0, object), (), {})


def test_lists_with_what_came_next() -> None:
    # Everybody is given 0, 1, 2 but for what they had: user 0 hits at once, the others' targets stand last.
    test = cases([[3], [0, 1], [0]], [[0], [4], [4]])
    split = Split(Ragged(np.zeros(0, np.int32), np.zeros(1, np.int64)), test, test)
    titles = np.array(["zero", "one", "two", "three", "four"], object)
    prepared = Prepared(NOTHING, NOTHING, titles, np.array([9, 8, 7, 6, 0]), split)
    hit, first, second = list_examples(Table([[5, 4, 3, 2, 1]] * 3), prepared, np.array([1.0, 0.0, 0.0]), top_k=2)
    assert hit.history == ("three",) and hit.history_length == 1
    assert [(target.title, target.rank) for target in hit.targets] == [("zero", 1)]
    assert [(each.title, each.count, each.is_hit) for each in hit.recommended] == [("zero", 9, True), ("one", 8, False)]
    assert [each.title for each in first.recommended] == ["two", "three"]
    assert not any(each.is_hit for each in (*first.recommended, *second.recommended))
    assert [first.targets[0].rank, second.targets[0].rank] == [3, 4]


def test_few_hits_and_misses_are_drawn_alike_each_time() -> None:
    test = cases([[0]] * 50, [[1]] * 25 + [[2]] * 25)
    split = Split(Ragged(np.zeros(0, np.int32), np.zeros(1, np.int64)), test, test)
    prepared = Prepared(NOTHING, NOTHING, np.array(["a", "b", "c"], object), np.array([1, 1, 1]), split)
    arguments = Table([[3, 2, 1]] * 50), prepared, np.repeat([1.0, 0.0], 25), 1
    examples = list_examples(*arguments)
    assert [any(each.is_hit for each in example.recommended) for example in examples] == [True] * 6 + [False] * 6
    assert examples == list_examples(*arguments)


def test_what_users_were_shown_and_clicked() -> None:
    prepared = prepared_rankers()
    impressions = prepared.impressions
    numbers = np.flatnonzero(impressions.parts == TEST)
    predictions = np.linspace(0.9, 0.1, len(numbers))
    examples = click_examples(impressions, prepared.titles, predictions)
    assert 0 < len(examples) <= 6
    for example in examples:
        assert len(example.shown) == min(example.num_shown, 10)
        seen = [each.prediction for each in example.shown]
        assert seen == sorted(seen, reverse=True)
    # A user is found again by the first prediction; the numbers fall, so that is the user's first test impression.
    first = np.argmin(np.abs(predictions - examples[0].shown[0].prediction))
    user = impressions.users[numbers[first]]
    own = [number for number in numbers if impressions.users[number] == user]
    assert examples[0].num_shown == len(own)
    labels = impressions.labels[own[:10]] > 0
    assert [each.is_clicked for each in examples[0].shown] == labels.tolist()
    before = [n for n in range(own[0]) if impressions.users[n] == user and impressions.labels[n] > 0]
    expected = [prepared.titles[impressions.items[n]] for n in before if impressions.past[own[0]] > n][-8:]
    assert list(examples[0].liked) == expected
