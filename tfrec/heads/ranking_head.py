"""What every ranking head is."""

from abc import abstractmethod
from typing import NamedTuple

import keras
import tensorflow as tf


class Vectors(NamedTuple):
    """What a head looks at; the shapes are those of RankingHead's call arguments."""

    query: tf.Tensor
    history: tf.Tensor
    candidates: tf.Tensor


class RankingHead(keras.layers.Layer):
    r"""Scores candidates by all that is known of a user: where retrieval must do with a dot product, a head need not.

    With $x$ the query, $y$ a candidate and $f$ the features that a subclass makes of them and of the history $H$, the
    logit is

    $$ z = a (\cos(x, y) - b) + w^\top f(x, H, y) $$

    It starts with $a = 1/\tau$, $b = 0$ and $w = 0$, which is the logit that retrieval is trained with: a head learns
    what to change about the order that it is given, and not that order once more. ($b$ stands inside, since it has a
    way to go: cosines of some tenths are nothing special, but logits of some tens.)

    A candidate's logit depends on its own vector alone and on no other candidate's, so a request may bring any set.

    Args:
        embedding_size: Dimensions of all vectors.
        temperature: The one that retrieval divides its cosines by.

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

    Raises:
        ValueError: There are queries for some places, and not said which.
    """

    def __init__(self, embedding_size: int, temperature: float = 1.0, **kwargs: object) -> None:
        # The cosine and the logit are float32 under every precision policy.
        super().__init__(autocast=False, **kwargs)
        self.embedding_size = embedding_size
        self.temperature = temperature
        self.logit = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros", dtype="float32", name="logit")

    def build(self, input_shape: object = None) -> None:
        self.logit.build((None, self.build_features()))
        self.cosine_weight = self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(1 / self.temperature),
            name="cosine_weight",
            dtype="float32",
        )
        self.cosine_bias = self.add_weight(shape=(), initializer="zeros", name="cosine_bias", dtype="float32")
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
        units = (tf.math.l2_normalize(each, axis=-1) for each in (query[..., tf.newaxis, :], candidates))
        cosine = tf.reduce_sum(tf.multiply(*units), axis=-1)
        # Unit vectors' elements are small; this gives them the size that layers are initialised for.
        scale = self.embedding_size**0.5
        vectors = Vectors(*(tf.cast(each * scale, self.compute_dtype) for each in (query, history, candidates)))
        features = self.features(vectors, _seen(query, mask, places), training)
        return self.cosine_weight * (cosine - self.cosine_bias) + tf.squeeze(self.logit(features), axis=-1)

    @abstractmethod
    def build_features(self) -> int:
        """Builds what `features` needs, and returns num_features."""

    @abstractmethod
    def features(self, vectors: Vectors, seen: tf.Tensor, training: bool) -> tf.Tensor:
        """What the logit is linear in, beside the cosine.

        Args:
            vectors: Those of a call, of the length `embedding_size ** 0.5` and the layer's compute dtype.
            seen: What of the history each query sees: bool [batch_size, num_places, history_length].
            training: As in a call.

        Returns:
            [batch_size, num_candidates, num_features], or [batch_size, num_places, num_candidates, num_features].
        """


def _seen(query: tf.Tensor, mask: tf.Tensor, places: tf.Tensor | None) -> tf.Tensor:
    """What of the history each query sees: bool [batch_size, num_places, history_length]."""
    if query.shape.rank == 2:
        return mask[:, tf.newaxis]
    if places is None:
        if None not in (query.shape[1], mask.shape[1]) and query.shape[1] != mask.shape[1]:
            raise ValueError(
                f"Expected a query for each of the history's {mask.shape[1]} places, or `places`. "
                f"Received: {query.shape[1]} queries and no places"
            )
        places = tf.range(tf.shape(query)[1])[tf.newaxis]
    return mask[:, tf.newaxis] & (tf.range(tf.shape(mask)[1]) <= places[..., tf.newaxis])
