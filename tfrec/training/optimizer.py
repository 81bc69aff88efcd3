"""The optimizer, with embedding gradients that add up."""

from collections.abc import Sequence

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="tfrec")
class AdamW(keras.optimizers.AdamW):
    """Keras's AdamW (Loshchilov & Hutter 2019), with each row's gradients summed before they are used.

    The gradient of an embedding is a list of slices, and a row that was looked up twice (the unknown id; the same item
    on two devices) has two. Keras's Adam squares slice by slice, so that row's second moment becomes the sum of squares
    instead of the square of the sum, and training on two devices differs from training on one. Its moments are
    dense anyway: a dense gradient costs nothing more.
    """

    def apply(self, grads: Sequence[tf.Tensor | tf.IndexedSlices | None], trainable_variables: object = None) -> None:
        """Updates the variables; see keras.optimizers.Optimizer.apply."""
        super().apply([None if each is None else tf.convert_to_tensor(each) for each in grads], trainable_variables)
