"""A multi-layer perceptron as ranking head."""

import keras
import tensorflow as tf

from tfrec.heads.ranking_head import RankingHead, Vectors


@keras.saving.register_keras_serializable(package="tfrec")
class MLPHead(RankingHead):
    """Hidden layers over query, candidate and their element-wise product.

    The product is given, because an MLP learns a dot product only with great effort (Rendle et al. 2020, "Neural
    collaborative filtering vs. matrix factorization revisited", section 4); query and candidate alone let it learn what
    depends on one of them, as an item's popularity. It does not look at the history but through the query.

    Args:
        embedding_size, temperature: As of RankingHead.
        hidden_sizes: Widths of the hidden layers.
        dropout: Share of the hidden units dropped in training.

    Call arguments and shapes are those of RankingHead.
    """

    def __init__(
        self,
        embedding_size: int,
        temperature: float = 1.0,
        hidden_sizes: tuple[int, ...] = (128, 64),
        dropout: float = 0.0,
        **kwargs: object,
    ) -> None:
        super().__init__(embedding_size, temperature, **kwargs)
        self.hidden_sizes = tuple(hidden_sizes)
        self.dropout = dropout
        self.hidden = [keras.layers.Dense(size, activation="gelu") for size in self.hidden_sizes]
        self.drop = keras.layers.Dropout(dropout)

    def build_features(self) -> int:
        size = 3 * self.embedding_size
        for layer in self.hidden:
            layer.build((None, size))
            size = layer.units
        return size

    def features(self, vectors: Vectors, seen: tf.Tensor, training: bool) -> tf.Tensor:
        candidates = vectors.candidates
        query = tf.broadcast_to(vectors.query[..., tf.newaxis, :], tf.shape(candidates))  # once for each of them
        outputs = tf.concat([query, candidates, query * candidates], axis=-1)
        for layer in self.hidden:
            outputs = self.drop(layer(outputs), training=training)
        return outputs
