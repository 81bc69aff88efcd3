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
