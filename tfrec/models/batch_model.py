"""What every model is that is trained batch by batch."""

from abc import abstractmethod
from collections.abc import Mapping

import keras
import tensorflow as tf


class BatchModel(keras.Model):
    """A Keras model whose loss is computed from a batch and what the model makes of it."""

    def compute_loss(
        self,
        x: Mapping[str, tf.Tensor],
        y: object,
        y_pred: Mapping[str, tf.Tensor],
        sample_weight: object = None,
        training: bool = True,
    ) -> tf.Tensor:
        """What Keras asks for in a training step; a batch's labels are among its tensors, and `y` is nothing."""
        return self.batch_loss(x, y_pred)

    @abstractmethod
    def batch_loss(self, batch: Mapping[str, tf.Tensor], outputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The loss of the global batch, float32 scalar; under tf.distribute this device's share of it.

        Args:
            batch: What the model's `examples` make.
            outputs: What a call returned for it.
        """
