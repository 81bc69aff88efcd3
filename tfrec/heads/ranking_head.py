"""What every ranking head is."""

from abc import abstractmethod

import keras
import tensorflow as tf


class RankingHead(keras.layers.Layer):
    """Scores candidates by all that is known of a user: where retrieval must do with a dot product, a head need not.

    A candidate's logit depends on its own vector alone and on no other candidate's, so a request may bring any set.

    Args:
        embedding_size: Dimensions of all vectors.

    Call arguments:
        query: float32 [batch_size, embedding_size], what the user tower makes of the history; or, in training,
            [batch_size, num_places, embedding_size], what it makes of the history up to some places of it.
        history: float32 [batch_size, history_length, embedding_size] item vectors, oldest first.
        mask: bool [batch_size, history_length]; True where an item is.
        candidates: float32 [batch_size, num_candidates, embedding_size] item vectors, or [batch_size, num_places,
            num_candidates, embedding_size].
        places: int32 [batch_size, num_places]: which place of the history each query stands at. It sees the history up
            to there, itself included. None: there is one query, at the end, or one for every place.

    Returns:
        Logits float32 [batch_size, num_candidates], or [batch_size, num_places, num_candidates].
    """

    def __init__(self, embedding_size: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.embedding_size = embedding_size
        # The logit is float32 under every precision policy.
        self.logit = keras.layers.Dense(1, dtype="float32", name="logit")

    @abstractmethod
    def call(
        self,
        query: tf.Tensor,
        history: tf.Tensor,
        mask: tf.Tensor,
        candidates: tf.Tensor,
        training: bool = False,
        places: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """The logits; see the class."""

    def _beside(self, query: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
        """The query, once for each of its candidates."""
        return tf.broadcast_to(query[..., tf.newaxis, :], tf.shape(candidates))

    def _scaled(self, vectors: tf.Tensor) -> tf.Tensor:
        """Unit vectors with elements of about 1, the scale that layers are initialised for."""
        return vectors * self.embedding_size**0.5
