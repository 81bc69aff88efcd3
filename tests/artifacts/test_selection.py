"""The choice of a varied answer from a pool."""

import numpy as np
import pytest
import tensorflow as tf

from tfrec.artifacts.selection import Cap, select

SCORES = np.array([[9.0, 8, 7, 5, 1], [1, 2, 0, 0, 0]], np.float32)
ITEMS = np.array([[12, 13, 14, 15, 16], [22, 23, 0, 0, 0]], np.int32)
"""The second row's pool has two items, and padding."""
EAST, NORTH = [1.0, 0.0], [0.0, 2.0]
"""Of whatever length: cosines count."""
VECTORS = np.array([[EAST, EAST, NORTH, NORTH, [-1.0, 0.0]], [EAST, NORTH, EAST, EAST, EAST]], np.float32)


def choose(diversity: float, top_k: int, *caps: tuple[list[list[int]], int]) -> tuple[list, list]:
    each = [Cap(tf.constant(codes), limit) for codes, limit in caps]
    scores, items = select(tf.constant(SCORES), tf.constant(ITEMS), tf.constant(VECTORS), each, diversity, top_k)
    return scores.numpy().tolist(), items.numpy().tolist()


def test_maximal_marginal_relevance_by_hand() -> None:
    # Scaled scores 1, .875, .75, .5, 0. With diversity .5 an item's value is half of its score less half of its cosine
    # with what is chosen. 12 comes first. Then 13: .4375 - .5, 14: .375 - 0, 15: .25 - 0, and 16: 0 + .5, opposite to
    # it. Then 14, the best of those at right angles; then 13: -.0625, and 15: .25 - .5.
    assert choose(0.5, 4) == ([[9, 1, 7, 8], [2, 1, 0, 0]], [[12, 16, 14, 13], [23, 22, 0, 0]])


def test_without_diversity_and_caps_the_best_in_order() -> None:
    assert choose(0.0, 3) == ([[9, 8, 7], [2, 1, 0]], [[12, 13, 14], [23, 22, 0]])


def test_no_more_of_a_category_than_its_cap() -> None:
    # 12, 13 and 14 are of one category; what has none, 0 and 1, is not limited.
    codes = [[2, 2, 2, 3, 1], [0, 0, 0, 0, 0]]
    assert choose(0.0, 4, (codes, 1))[1] == [[12, 15, 16, 0], [23, 22, 0, 0]]
    assert choose(0.0, 4, (codes, 2))[1] == [[12, 13, 15, 16], [23, 22, 0, 0]]


def test_of_items_that_are_all_alike_the_best_in_order() -> None:
    vectors = tf.ones([1, 4, 2])
    items = tf.constant([[12, 13, 14, 15]])
    scores, chosen = select(tf.constant([[4.0, 3, 3, 1]]), items, vectors, [], 0.9, 4)
    assert chosen.numpy().tolist() == [[12, 13, 14, 15]]
    # Nor do equal scores, or a pool of one, or of none, make anything undefined.
    for pool in ([[12, 13, 14, 15]], [[12, 0, 0, 0]], [[0, 0, 0, 0]]):
        scores, chosen = select(tf.zeros([1, 4]), tf.constant(pool), vectors, [], 0.5, 4)
        assert (scores.numpy().tolist(), chosen.numpy().tolist()) == ([[0] * 4], pool)


def test_all_caps_hold() -> None:
    assert choose(0.0, 5, ([[2, 2, 3, 3, 4], [0] * 5], 1), ([[5, 6, 5, 7, 7], [0] * 5], 1))[1][0] == [12, 15, 0, 0, 0]


@pytest.mark.parametrize("diversity", [0.0, 0.3, 0.9])
def test_it_is_the_greedy_loop(diversity: float) -> None:
    generator = np.random.default_rng(0)
    scores, vectors = generator.normal(size=(3, 20)), generator.normal(size=(3, 20, 4))
    items = np.tile(np.arange(2, 22), (3, 1))
    codes = generator.integers(2, 6, (3, 20))
    found = select(
        *(tf.constant(each, tf.float32) for each in (scores,)),
        tf.constant(items, tf.int32),
        tf.constant(vectors, tf.float32),
        [Cap(tf.constant(codes, tf.int32), 3)],
        diversity,
        10,
    )
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    for row in range(3):
        scaled = (scores[row] - scores[row].min()) / np.ptp(scores[row])
        chosen: list[int] = []
        while len(chosen) < 10:
            values = {}
            for place in range(20):
                if place not in chosen and [codes[row, each] for each in chosen].count(codes[row, place]) < 3:
                    nearest = max((vectors[row, place] @ vectors[row, each] for each in chosen), default=0)
                    values[place] = (1 - diversity) * scaled[place] - diversity * nearest
            chosen.append(max(values, key=values.__getitem__))
        assert found[1].numpy()[row].tolist() == [2 + place for place in chosen]
        np.testing.assert_allclose(found[0][row], scores[row, chosen], rtol=1e-5)
