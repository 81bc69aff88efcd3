import keras
import numpy as np
import tensorflow as tf

from tfrec.training.optimizer import AdamW


def test_the_gradients_of_a_row_add_up_before_they_are_squared() -> None:
    # Row 1 is looked up twice, with gradients 3 and 4. Adam's first moments: m = .1 * 7, v = .001 * 7^2 = .049
    # (slice by slice it would be .001 * (9 + 16) = .025). A first step moves each row by the learning rate.
    table = keras.Variable([[1.0], [1.0], [1.0]])
    optimizer = AdamW(learning_rate=0.1, weight_decay=0.0)
    optimizer.build([table])
    optimizer.apply([tf.IndexedSlices(tf.constant([[3.0], [4.0]]), tf.constant([1, 1]), tf.constant([3, 1]))], [table])
    [velocity] = [variable for variable in optimizer.variables if "velocity" in variable.path]
    np.testing.assert_allclose(velocity, [[0.0], [0.049], [0.0]], rtol=1e-5)
    np.testing.assert_allclose(table, [[1.0], [0.9], [1.0]], rtol=1e-5)


def test_pretrained_variables_have_a_step_size_and_a_decay_of_their_own() -> None:
    # A first step of Adam moves each by its learning rate, whatever the gradient: .1, and .1 * .2; and the decay takes
    # .5 of that share of the value away.
    fresh, pretrained = keras.Variable([10.0]), keras.Variable([10.0])
    optimizer = AdamW(learning_rate=0.1, weight_decay=0.5, rates=[(pretrained, 0.2)])
    optimizer.build([fresh, pretrained])
    optimizer.apply([tf.constant([3.0]), tf.constant([3.0])], [fresh, pretrained])
    np.testing.assert_allclose(fresh, [10 - 0.1 * 0.5 * 10 - 0.1], rtol=1e-5)
    np.testing.assert_allclose(pretrained, [10 - 0.02 * 0.5 * 10 - 0.02], rtol=1e-5)


def test_without_pretrained_variables_it_is_keras_own() -> None:
    generator = np.random.default_rng(0)
    values, gradients = generator.normal(size=(2, 3)), generator.normal(size=(5, 2, 3)).astype(np.float32)
    ends = []
    for kind in (AdamW, keras.optimizers.AdamW):
        variables = [keras.Variable(values[0], dtype="float32"), keras.Variable(values[1], dtype="float32")]
        optimizer = kind(learning_rate=0.1, weight_decay=0.01)
        optimizer.build(variables)
        for step in gradients:
            optimizer.apply([tf.constant(step[0]), tf.constant(step[1])], variables)
        ends.append(np.stack([np.asarray(variable) for variable in variables]))
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-5)


def slices(rows: list[int], values: list[float]) -> tf.IndexedSlices:
    return tf.IndexedSlices(tf.constant(values)[:, tf.newaxis], tf.constant(rows), tf.constant([3, 1]))


def test_of_a_large_table_the_rows_of_the_batch_alone_change() -> None:
    # First step: rows 0 and 1, of which the second is looked up twice, move by the learning rate.
    table = keras.Variable([[1.0], [1.0], [1.0]])
    optimizer = AdamW(learning_rate=0.1, weight_decay=0.5, lazy_rows=2)
    optimizer.build([table])
    optimizer.apply([slices([1, 0, 1], [3.0, 2.0, 4.0])], [table])
    after = 1 - 0.1 * 0.5 * 1 - 0.1
    np.testing.assert_allclose(table, [[after], [after], [1.0]], rtol=1e-5)
    [velocity] = [variable for variable in optimizer.variables if "velocity" in variable.path]
    np.testing.assert_allclose(velocity, [[0.004], [0.049], [0.0]], rtol=1e-5)
    # Then row 2 alone: the others neither move on nor forget.
    optimizer.apply([slices([2], [5.0])], [table])
    np.testing.assert_allclose(np.asarray(table)[:2], [[after], [after]], rtol=1e-5)
    # By hand: m = .1 * 5, v = .001 * 25, corrected as of the second step.
    step = 0.1 * (0.5 / (1 - 0.9**2)) / np.sqrt(0.025 / (1 - 0.999**2))
    np.testing.assert_allclose(np.asarray(table)[2], [1 - 0.1 * 0.5 * 1 - step], rtol=1e-5)
    np.testing.assert_allclose(velocity, [[0.004], [0.049], [0.025]], rtol=1e-5)


def test_rows_that_have_a_gradient_at_every_step_move_as_of_a_small_table() -> None:
    ends = []
    for lazy_rows in (2, None):
        table = keras.Variable([[1.0], [2.0], [3.0]])
        optimizer = AdamW(learning_rate=0.1, weight_decay=0.01, rates=[(table, 0.5)], lazy_rows=lazy_rows)
        optimizer.build([table])
        for step in np.random.default_rng(0).normal(size=(6, 3)):
            optimizer.apply([slices([2, 0, 1], step.astype("f4").tolist())], [table])
        ends.append(np.asarray(table))
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-5)
