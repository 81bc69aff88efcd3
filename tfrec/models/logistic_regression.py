"""Logistic regression."""

import tensorflow as tf

from tfrec.models.ranking_model import Impression, RankingModel


class LogisticRegression(RankingModel):
    r"""A weight for each value of each feature: $z = b + \sum_i w_i$.

    McMahan et al. 2013, "Ad Click Prediction: a View from the Trenches", section 3.
    """

    has_vectors, has_weights = False, True

    def build_architecture(self) -> None:
        pass

    def logit(self, impression: Impression, training: bool) -> tf.Tensor:
        return impression.weight
