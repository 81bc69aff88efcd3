"""Wide & Deep."""

import tensorflow as tf

from tfrec.models.dnn import DNN
from tfrec.models.ranking_model import Impression


class WideAndDeep(DNN):
    r"""A logistic regression and an MLP, trained together: $z = b + \sum_i w_i + \mathrm{MLP}([v_1; \dots; v_m])$.

    Cheng et al. 2016, "Wide & Deep Learning for Recommender Systems", equation 3, with one optimizer for both, and
    without crossed features in the wide part: declare a column that is a cross to have one.
    """

    has_weights = True

    def logit(self, impression: Impression, training: bool) -> tf.Tensor:
        return impression.weight + tf.cast(super().logit(impression, training), tf.float32)
