"""DeepFM."""

import tensorflow as tf

from tfrec.layers.factorization_machine import pairwise_interactions
from tfrec.models.ranking_model import Impression
from tfrec.models.wide_and_deep import WideAndDeep


class DeepFM(WideAndDeep):
    r"""A factorisation machine and an MLP over the same vectors.

    $$ z = b + \sum_i w_i + \sum_{i < j} \langle v_i, v_j \rangle + \mathrm{MLP}([v_1; \dots; v_m]) $$

    Guo et al. 2017, "DeepFM: A Factorization-Machine based Neural Network for CTR Prediction", equations 1 to 4.
    """

    def logit(self, impression: Impression, training: bool) -> tf.Tensor:
        pairs = pairwise_interactions(tf.cast(impression.fields, tf.float32))
        return pairs + super().logit(impression, training)
