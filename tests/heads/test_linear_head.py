import numpy as np
import tensorflow as tf

from tests.heads.contract import SIZE, HeadContract
from tfrec.heads import LinearHead


class TestContract(HeadContract):
    def make(self) -> LinearHead:
        return LinearHead(SIZE)


def test_by_hand() -> None:
    head = LinearHead(2)
    head.build()
    kernel, bias = head.trainable_weights
    kernel.assign([[1.0], [10.0], [100.0]])
    bias.assign([0.5])
    query, candidates = tf.constant([[3.0, 4.0]]), tf.constant([[[2.0, 0.0], [0.0, -1.0]]])
    # Products [6, 0] and [0, -4], times 2; cosines 6 / (5 * 2) = .6 and -.8, times the root of 2.
    expected = [12 + 100 * 0.6 * 2**0.5 + 0.5, -80 - 100 * 0.8 * 2**0.5 + 0.5]
    nothing = tf.zeros([1, 1, 2]), tf.zeros([1, 1], tf.bool)
    np.testing.assert_allclose(head(query, *nothing, candidates), [expected], rtol=1e-5)
