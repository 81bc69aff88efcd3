"""What every model is that is trained batch by batch."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence

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

    def fit(
        self,
        x: tf.data.Dataset,
        *,
        initial_epoch: int = 0,
        epochs: int,
        steps_per_epoch: int,
        callbacks: Sequence[keras.callbacks.Callback],
        **options: object,
    ) -> keras.callbacks.History | None:
        """Keras's fit; on several workers a loop that does the same, since Keras 3's does not run there.

        Callbacks see the mean loss over all workers so far, and a worker that is told to stop training stops all at the
        epoch's end. See docs/decisions/0014-several-workers.md.

        Args:
            x: The batches of all epochs, end to end; on several workers the global ones, on each.
            initial_epoch, epochs, steps_per_epoch, callbacks: As Keras's.
            options: Keras's others, without effect on several workers.

        Returns:
            Keras's history; None on several workers.
        """
        strategy = self.distribute_strategy
        if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return super().fit(
                x,
                initial_epoch=initial_epoch,
                epochs=epochs,
                steps_per_epoch=steps_per_epoch,
                callbacks=list(callbacks),
                **options,
            )
        told = keras.callbacks.CallbackList(callbacks, model=self, epochs=epochs, steps=steps_per_epoch)
        batches = iter(strategy.experimental_distribute_dataset(x))
        step = tf.function(self._step_on_workers, autograph=False)
        stops = tf.function(self._any_worker_stops, autograph=False)
        # On each device by itself; from outside, Keras's metrics would wait for the other workers.
        reset = tf.function(lambda: strategy.run(self.reset_metrics), autograph=False)
        self.stop_training = False
        told.on_train_begin()
        logs: dict[str, float] = {}
        for epoch in range(initial_epoch, epochs):
            reset()
            told.on_epoch_begin(epoch)
            for number in range(steps_per_epoch):
                told.on_train_batch_begin(number)
                logs = {"loss": float(step(next(batches)))}
                told.on_train_batch_end(number, logs)
            told.on_epoch_end(epoch, dict(logs))
            # Where one validates and the others don't, this is where these wait for it.
            self.stop_training = bool(stops(tf.constant(self.stop_training)))
            if self.stop_training:
                break
        told.on_train_end(logs)
        return None

    def _step_on_workers(self, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        def step(own: Mapping[str, tf.Tensor]) -> tf.Tensor:
            self.train_step((own,))
            context = tf.distribute.get_replica_context()
            for part in self.metrics_variables:  # The mean loss: from each one's to that of all.
                part.assign(context.all_reduce(tf.distribute.ReduceOp.MEAN, tf.identity(part.value)))
            return self.get_metrics_result()["loss"]

        losses = self.distribute_strategy.run(step, args=(batch,))
        return self.distribute_strategy.experimental_local_results(losses)[0]

    def _any_worker_stops(self, stops: tf.Tensor) -> tf.Tensor:
        def count() -> tf.Tensor:
            own = tf.cast(stops, tf.float32)
            return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, own)

        return self.distribute_strategy.experimental_local_results(self.distribute_strategy.run(count))[0] > 0
