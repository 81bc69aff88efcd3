"""The ranking head with the fewest weights."""

import keras
import tensorflow as tf

from tfrec.heads.ranking_head import RankingHead


@keras.saving.register_keras_serializable(package="tfrec")
class LinearHead(RankingHead):
    r"""Logistic regression over the element-wise product of query and candidate, and their cosine.

    With all weights but the cosine's at zero it is the retrieval score, calibrated to a probability; the product's
    weights say which dimensions count more. It does not look at the history but through the query.

    $$ z = d \cdot w^\top (x \odot y) + \sqrt d \cdot v \cos(x, y) + b $$

    The factors of the size $d$ make the features about 1. Arguments and shapes are those of RankingHead.
    """

    def build(self, input_shape: object = None) -> None:
        self.logit.build((None, self.embedding_size + 1))
        self.built = True

    def call(
        self,
        query: tf.Tensor,
        history: tf.Tensor,
        mask: tf.Tensor,
        candidates: tf.Tensor,
        training: bool = False,
        places: tf.Tensor | None = None,
    ) -> tf.Tensor:
        query = query[..., tf.newaxis, :]
        product = self._scaled(query) * self._scaled(candidates)
        cosine = tf.reduce_sum(_unit(query) * _unit(candidates), axis=-1, keepdims=True)
        features = tf.concat([tf.cast(product, tf.float32), self._scaled(cosine)], axis=-1)
        return tf.squeeze(self.logit(features), axis=-1)


def _unit(vectors: tf.Tensor) -> tf.Tensor:
    return tf.math.l2_normalize(tf.cast(vectors, tf.float32), axis=-1)
