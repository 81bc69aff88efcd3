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

    Pretrained weights want smaller steps than fresh ones. It is the update that is scaled, and the weight decay with
    it, and not the gradient: Adam divides by the gradient's size, so a scaled one changes nothing. See
    docs/decisions/0008-trained-backbone.md.

    Args:
        learning_rate: Step size.
        weight_decay: Decoupled weight decay.
        rates: Variables with a step size of their own, and it, as a multiple of the learning rate.
    """

    def __init__(
        self,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        rates: Sequence[tuple[keras.Variable, float]] = (),
        **kwargs: object,
    ) -> None:
        super().__init__(learning_rate, weight_decay=weight_decay, **kwargs)
        self._rate_of = {id(variable): rate for variable, rate in rates}  # Keras would take variables for its own.

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Makes the moments; see keras.optimizers.Optimizer.build."""
        super().build(variables)
        self._rates = [self._rate_of.get(id(variable), 1.0) for variable in variables]

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable | keras.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Updates one variable, at its own rate."""
        rate = tf.cast(learning_rate, variable.dtype) * self._rates[self._get_variable_index(variable)]
        if self.weight_decay and self._use_weight_decay(variable):
            self.assign_sub(variable, variable * tf.cast(self.weight_decay, variable.dtype) * rate)
        super().update_step(gradient, variable, rate)

    def _apply_weight_decay(self, variables: object) -> None:
        """Nothing: `update_step` decays each variable at its own rate."""

    def apply(self, grads: Sequence[tf.Tensor | tf.IndexedSlices | None], trainable_variables: object = None) -> None:
        """Updates the variables; see keras.optimizers.Optimizer.apply."""
        super().apply([None if each is None else tf.convert_to_tensor(each) for each in grads], trainable_variables)


@keras.saving.register_keras_serializable(package="tfrec")
class LossScaleOptimizer(keras.optimizers.LossScaleOptimizer):
    """Keras's loss scaling for float16, where a gradient that overflowed on any device skips the step on all.

    Keras asks the first device alone whether its gradients are finite, and that before they are summed over the
    devices: what overflows on another makes every weight NaN.
    """

    def check_finite(self, grads: Sequence[tf.Tensor | None]) -> tf.Tensor:
        """Whether all gradients are finite, on every device."""
        overflown = tf.cast(~super().check_finite(grads), tf.float32)
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, overflown) == 0
