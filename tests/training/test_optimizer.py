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
    optimizer = AdamW(learning_rate=0.1, weight_decay=0.5, pretrained=[pretrained], pretrained_rate=0.2)
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
