"""The ranking head with the fewest weights."""

import keras
import tensorflow as tf

from tfrec.heads.ranking_head import RankingHead, Vectors


@keras.saving.register_keras_serializable(package="tfrec")
class LinearHead(RankingHead):
    r"""Logistic regression over the element-wise product of query and candidate, and their cosine.

    $$ z = a (\cos(x, y) - b) + d \cdot w^\top (x \odot y) $$

    The product's weights say which dimensions count more than in the cosine; $a$ and $b$ make a probability of it. It
    does not look at the history but through the query. Arguments and shapes are those of RankingHead.
    """

    def build_features(self) -> int:
        return self.embedding_size

    def features(self, vectors: Vectors, seen: tf.Tensor, training: bool) -> tf.Tensor:
        return vectors.query[..., tf.newaxis, :] * vectors.candidates
