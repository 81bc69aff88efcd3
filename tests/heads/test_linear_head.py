import numpy as np
import tensorflow as tf

from tests.heads.contract import SIZE, TEMPERATURE, HeadContract
from tfrec.heads import LinearHead


class TestContract(HeadContract):
    def make(self) -> LinearHead:
        return LinearHead(SIZE, TEMPERATURE)


def test_by_hand() -> None:
    head = LinearHead(2)
    head.build()
    head.cosine_weight.assign(100.0)
    head.logit.kernel.assign([[1.0], [10.0]])
    head.cosine_bias.assign(0.1)
    query, candidates = tf.constant([[3.0, 4.0]]), tf.constant([[[2.0, 0.0], [0.0, -1.0]]])
    # Products [6, 0] and [0, -4], times 2; cosines 6 / (5 * 2) = .6 and -.8.
    expected = [12 + 100 * 0.5, -80 - 100 * 0.9]
    nothing = tf.zeros([1, 1, 2]), tf.zeros([1, 1], tf.bool)
    np.testing.assert_allclose(head(query, *nothing, candidates), [expected], rtol=1e-5)
