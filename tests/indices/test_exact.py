"""Exact top-k."""

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.indices.exact import top_items


def top(scores: object, excluded: object, top_k: int) -> tuple[list, list]:
    excluded = np.array(excluded, np.int32).reshape(len(scores), -1)  # type: ignore[arg-type]
    best, indices = top_items(tf.constant(scores, tf.float32), tf.constant(excluded), top_k)
    assert (best.dtype, indices.dtype) == (tf.float32, tf.int32)
    return best.numpy().tolist(), indices.numpy().tolist()


def test_by_hand() -> None:
    # Columns 0 and 1 are padding and unknown: never an answer, however high their scores.
    scores = [[9, 9, 0.5, -1, 3, 2], [9, 9, 5, 4, 3, 2]]
    assert top(scores, [[], []], 3) == ([[3, 2, 0.5], [5, 4, 3]], [[4, 5, 2], [2, 3, 4]])


def test_excluded_items_are_left_out_each_row_its_own() -> None:
    # 0 and 1 exclude nothing; the same item may be excluded twice.
    scores = [[9, 9, 0.5, -1, 3, 2], [9, 9, 5, 4, 3, 2]]
    assert top(scores, [[4, 0, 4], [1, 3, 2]], 2) == ([[2, 0.5], [3, 2]], [[5, 2], [4, 5]])


def test_where_items_run_out_index_and_score_are_zero() -> None:
    scores = [[9, 9, -5, -6], [9, 9, -5, -6]]
    assert top(scores, [[2], [0]], 2) == ([[-6, 0], [-5, -6]], [[3, 0], [2, 3]])
    assert top(scores, [[2, 3], [3, 0]], 2) == ([[0, 0], [-5, 0]], [[0, 0], [2, 0]])


def test_more_are_wanted_than_there_are() -> None:
    assert top([[9, 9, 1, 2]], [[]], 6) == ([[2, 1, 0, 0, 0, 0]], [[3, 2, 0, 0, 0, 0]])


def test_equal_scores_come_in_the_order_of_the_catalogue() -> None:
    assert top([[0, 0, 1, 7, 1, 1]], [[4]], 3) == ([[7, 1, 1]], [[3, 2, 5]])


@st.composite
def requests(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    batch_size, num_rows, num_excluded = draw(st.tuples(st.integers(1, 4), st.integers(2, 12), st.integers(0, 6)))
    # Few distinct scores, so that there are ties.
    scores = draw(st.lists(st.integers(-3, 3), min_size=batch_size * num_rows, max_size=batch_size * num_rows))
    excluded = draw(
        st.lists(st.integers(0, num_rows - 1), min_size=batch_size * num_excluded, max_size=batch_size * num_excluded)
    )
    return (
        np.array(scores, np.float32).reshape(batch_size, num_rows) / 2,
        np.array(excluded, np.int32).reshape(batch_size, num_excluded),
        draw(st.integers(1, 15)),
    )


@given(request=requests())
@settings(max_examples=60)
def test_is_a_sort_of_what_is_allowed(request: tuple[np.ndarray, np.ndarray, int]) -> None:
    scores, excluded, top_k = request
    best, indices = top_items(tf.constant(scores), tf.constant(excluded), top_k)
    for row in range(len(scores)):
        allowed = [index for index in range(2, scores.shape[1]) if index not in excluded[row]]
        ranking = sorted(allowed, key=lambda index: -scores[row, index])[:top_k]
        padding = [0] * (top_k - len(ranking))
        assert indices[row].numpy().tolist() == ranking + padding
        assert best[row].numpy().tolist() == scores[row, ranking].tolist() + padding


def test_inside_a_graph_with_any_batch_and_any_number_of_exclusions() -> None:
    serve = tf.function(
        lambda scores, excluded: top_items(scores, excluded, 3),
        input_signature=[tf.TensorSpec([None, None], tf.float32), tf.TensorSpec([None, None], tf.int32)],
    )
    best, indices = serve(tf.constant([[0.0, 0, 1, 2], [0, 0, 2, 1]]), tf.zeros([2, 0], tf.int32))
    assert (best.numpy().tolist(), indices.numpy().tolist()) == ([[2, 1, 0], [2, 1, 0]], [[3, 2, 0], [2, 3, 0]])
    best, indices = serve(tf.zeros([0, 9]), tf.zeros([0, 2], tf.int32))
    assert best.shape == indices.shape == (0, 3)
    assert [output.shape.as_list() for output in serve.get_concrete_function().outputs] == [[None, 3], [None, 3]]
