"""Jasper: one pass for all stages of a purchase."""

import itertools

import numpy as np
import tensorflow as tf

from tfrec.datasets.splits import TRAINING
from tfrec.features.prepared_impressions import PreparedImpressions
from tfrec.models.esmm import joint_log_odds
from tfrec.models.ranking_model import log_odds
from tfrec.models.shared_bottom import SharedBottom


class Jasper(SharedBottom):
    r"""A deep network over behaviours and attributes, and a chain of probabilities: view, cart, purchase.

    The label and the outcomes are stages, in the order in which they are declared, each of which needs the one before.
    With the hidden layers $h$ that all share,

    $$ z_k = b_k + \mathrm{MLP}_k(h(v)), \qquad p_k = \prod_{j \le k} \sigma(z_j) $$

    and every impression is an example of every stage: the entire-space modelling of ESMM (Ma et al. 2018, equation 2)
    along a longer path, as in Wen et al. 2020, "Entire Space Multi-Task Modeling via Post-Click Behavior Decomposition
    for Conversion Rate Prediction", section 3.2.
    """

    def initial_bias(self, prepared: PreparedImpressions) -> np.ndarray:
        trained = prepared.impressions.parts == TRAINING
        rates = [labels[trained].mean() for labels in self.tasks(prepared).values()]
        return log_odds(np.array([rates[0], *(rate / before for before, rate in itertools.pairwise(rates))]))

    def with_bias(self, logits: tf.Tensor, training: bool = False) -> tf.Tensor:
        logits = super().with_bias(logits, training)
        joint = tf.cumsum(tf.math.log_sigmoid(logits), axis=-1)[..., 1:]
        return tf.concat([logits[..., :1], joint_log_odds(joint)], axis=-1)
