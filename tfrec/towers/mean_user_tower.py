"""The mean of what a user did: what a GPT over it must beat."""

import tensorflow as tf

from tfrec.features.columns import Column
from tfrec.layers.running_mean import running_mean
from tfrec.towers.causal_user_tower import CausalUserTower


class MeanUserTower(CausalUserTower):
    """The plain mean of the history's item vectors, and the user's attributes -> unit vectors.

    It stands where GPTUserTower stands and learns nothing of its own from the history, so that a comparison of the two,
    under the same items and the same loss, says what the GPT gives. (UserTower, of `two_tower`, weighs and has an MLP.)
    Where there is nothing to read, the vector is zero. Arguments and shapes are those of CausalUserTower; the history
    holds item vectors.
    """

    def __init__(
        self,
        columns: tuple[Column, ...],
        history_length: int,
        embedding_size: int,
        attribute_dropout: float = 0.0,
        **kwargs: object,
    ) -> None:
        super().__init__(columns, history_length, embedding_size, attribute_dropout, embedding_size, **kwargs)

    def read(self, history: tf.Tensor, mask: tf.Tensor, user: tf.Tensor | float, training: bool) -> tf.Tensor:
        return running_mean(history, mask) + user
