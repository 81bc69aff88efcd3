"""Events and time gaps, added to a history's item vectors."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfrec.layers.interaction_context import NUM_GAPS, InteractionContext, time_gap_buckets

HISTORY = tf.constant([[[1.0, 1.0], [2.0, 2.0], [0.0, 0.0]]])
MASK = tf.constant([[True, True, False]])


def times(*rows: list[int]) -> tf.Tensor:
    return tf.constant(rows, tf.int64)


def test_buckets_by_hand() -> None:
    # Gaps: none, 0, 1, 2, 3, 6, 7. Then earlier than before; not known, and so is the gap after it.
    buckets = time_gap_buckets(times([100, 100, 101, 103, 106, 112, 119], [50, 40, 0, 60, 61, 61, 0]))
    assert buckets.dtype == tf.int32
    assert buckets.numpy().tolist() == [[-1, 0, 1, 1, 2, 2, 3], [-1, 0, -1, -1, 1, 0, -1]]


@pytest.mark.parametrize("power", range(NUM_GAPS + 8))
def test_a_bucket_begins_at_a_power_of_two(power: int) -> None:
    # floor(log2(1 + gap)) of whole numbers is the length of 1 + gap in bits, less 1.
    for gap in (2**power - 2, 2**power - 1, 2**power):
        if gap >= 0:
            expected = min((1 + gap).bit_length() - 1, NUM_GAPS - 1)
            assert time_gap_buckets(times([7, 7 + gap])).numpy()[0, 1] == expected
            assert gap > 2**40 or expected == min(math.floor(math.log2(1 + gap)), NUM_GAPS - 1)


def test_adds_the_embeddings_where_an_item_is() -> None:
    layer = InteractionContext(num_events=4, time_gaps=True, output_size=2)
    layer.build()
    events = np.array([[7, 0], [9, 9], [10, 20], [30, 40]], np.float32)
    gaps = np.arange(2 * NUM_GAPS, dtype=np.float32).reshape(-1, 2) * 100
    layer.set_weights([events, gaps])
    context = {"history_event": tf.constant([[3, 2, 0]]), "history_time": times([1000, 1003, 1003])}
    # A gap of 3 is in bucket 2: [400, 500]. The third place holds no item.
    expected = [[[1 + 30, 1 + 40], [2 + 10 + 400, 2 + 20 + 500], [0, 0]]]
    assert layer(HISTORY, MASK, context).numpy().tolist() == expected
    # An item without an event has a vector too, its time is none: no gap.
    context = {"history_event": tf.constant([[0, 1, 2]]), "history_time": times([0, 0, 0])}
    assert layer(HISTORY, MASK, context).numpy().tolist() == [[[8, 1], [11, 11], [0, 0]]]


@pytest.mark.parametrize(("num_events", "time_gaps"), [(4, False), (0, True)])
def test_each_alone(num_events: int, time_gaps: bool) -> None:
    layer = InteractionContext(num_events, time_gaps, output_size=2)
    layer.build()
    assert layer.specs == ({"history_event": tf.int32} if num_events else {"history_time": tf.int64})
    layer.set_weights([np.ones_like(each) for each in layer.get_weights()])
    context = {"history_event": tf.constant([[3, 2, 0]])} if num_events else {"history_time": times([5, 6, 7])}
    first = 2 if num_events else 1
    assert layer(HISTORY, MASK, context).numpy().tolist() == [[[first] * 2, [3, 3], [0, 0]]]


def test_begins_as_if_it_were_not_there_and_learns() -> None:
    layer = InteractionContext(num_events=4, time_gaps=True, output_size=2)
    layer.build()
    context = {"history_event": tf.constant([[3, 2, 0]]), "history_time": times([1000, 1003, 1003])}
    with tf.GradientTape() as tape:
        outputs = layer(HISTORY, MASK, context)
    np.testing.assert_array_equal(outputs, HISTORY)
    gradients = tape.gradient(outputs, [variable.value for variable in layer.trainable_variables])
    # Two events and one gap are seen, two outputs each.
    assert [tf.reduce_sum(tf.convert_to_tensor(gradient)).numpy() for gradient in gradients] == [4, 2]


def test_training_hides_the_context_of_some_histories() -> None:
    keras.utils.set_random_seed(0)
    layer = InteractionContext(num_events=4, time_gaps=True, output_size=2, dropout=0.25)
    layer.build()
    layer.set_weights([np.ones_like(each) for each in layer.get_weights()])
    rows = 2000
    history, mask = tf.zeros([rows, 2, 2]), tf.ones([rows, 2], tf.bool)
    context = {"history_event": tf.fill([rows, 2], 3), "history_time": tf.tile(times([5, 9]), [rows, 1])}
    outputs = layer(history, mask, context, training=True).numpy()
    hidden = (outputs == 0).all(axis=(1, 2))
    # A binomial of 2,000 rows: 500 hidden, give or take 19.
    assert 400 < hidden.sum() < 600
    np.testing.assert_array_equal(outputs[~hidden], layer(history, mask, context).numpy()[~hidden])
