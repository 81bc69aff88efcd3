"""The optimizer, with embedding gradients that add up."""

from collections.abc import Iterable, Sequence

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
        lazy_rows: Tables of more rows are updated lazily; None: none is.
    """

    def __init__(
        self,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        rates: Sequence[tuple[keras.Variable, float]] = (),
        lazy_rows: int | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(learning_rate, weight_decay=weight_decay, **kwargs)
        self.lazy_rows = lazy_rows
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
        decays = self.weight_decay and self._use_weight_decay(variable)
        decay = tf.cast(self.weight_decay, variable.dtype) * rate if decays else None
        if isinstance(gradient, tf.IndexedSlices):
            self._update_rows(gradient, variable, rate, decay)
            return
        if decay is not None:
            self.assign_sub(variable, variable * decay)
        super().update_step(gradient, variable, rate)

    def _update_rows(
        self,
        slices: tf.IndexedSlices,
        variable: tf.Variable | keras.Variable,
        rate: tf.Tensor,
        decay: tf.Tensor | None,
    ) -> None:
        """Adam (Kingma & Ba 2015, algorithm 1) on the rows that have a gradient."""
        rows, places = tf.unique(slices.indices)
        gradient = tf.math.unsorted_segment_sum(tf.cast(slices.values, variable.dtype), places, tf.size(rows))
        index, beta_1, beta_2 = self._get_variable_index(variable), self.beta_1, self.beta_2
        moments = self._momentums[index].value, self._velocities[index].value
        step = tf.cast(self.iterations + 1, variable.dtype)
        scale = rate * tf.sqrt(1 - beta_2**step) / (1 - beta_1**step)
        first, second = (tf.gather(moment, rows) for moment in moments)
        first += (gradient - first) * (1 - beta_1)
        second += (tf.square(gradient) - second) * (1 - beta_2)
        for moment, value in zip(moments, (first, second), strict=True):
            self.assign(moment, tf.IndexedSlices(value, rows))
        update = first * scale / (tf.sqrt(second) + self.epsilon)
        if decay is not None:
            update += tf.gather(variable, rows) * decay
        self.assign_sub(variable, tf.IndexedSlices(update, rows))

    def _apply_weight_decay(self, variables: object) -> None:
        """Nothing: `update_step` decays each variable at its own rate."""

    def apply(
        self,
        grads: Sequence[tf.Tensor | tf.IndexedSlices | None],
        trainable_variables: Iterable[keras.Variable] | None = None,
    ) -> None:
        """Updates the variables; see keras.optimizers.Optimizer.apply."""
        named = None if trainable_variables is None else list(trainable_variables)
        variables = self._trainable_variables if named is None else named
        super().apply([self._summed(*each) for each in zip(grads, variables, strict=True)], named)

    def _summed(
        self, gradient: tf.Tensor | tf.IndexedSlices | None, variable: keras.Variable
    ) -> tf.Tensor | tf.IndexedSlices | None:
        if not isinstance(gradient, tf.IndexedSlices) or (self.lazy_rows and variable.shape[0] > self.lazy_rows):
            return gradient
        return tf.convert_to_tensor(gradient)


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
