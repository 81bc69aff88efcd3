import numpy as np
import tensorflow as tf

from tfrec.tasks.catalogue_softmax import catalogue_softmax


def test_by_hand() -> None:
    # Rows 0 and 1, padding and unknown, would win if they were candidates. The two items score 1 / .5 = 2 and 0:
    # -log(e^2 / (e^2 + 1)) = .126928 for the first, 2 more for the second.
    items = tf.constant([[9.0, 9.0], [9.0, 9.0], [1.0, 0.0], [0.0, 1.0]])
    losses = catalogue_softmax(tf.constant([[1.0, 0.0], [1.0, 0.0]]), items, tf.constant([2, 3]), temperature=0.5)
    np.testing.assert_allclose(losses, [0.126928, 2.126928], rtol=1e-5)
