"""TensorFlow Recommenders' ranking task inside a Keras 3 train step."""

import tensorflow as tf
import tensorflow_recommenders as tfrs


class RankingTask:
    r"""Binary cross-entropy of logits, through `tfrs.tasks.Ranking`.

    With $z$ the logit and $y$ the label of an example, its loss is

    $$ -y \log \sigma(z) - (1 - y) \log (1 - \sigma(z)) $$

    A TFRS task is a Keras 2 layer: see RetrievalTask, and docs/decisions/0001-keras-3-beside-tfrs.md.

    Example:
        >>> task = RankingTask()
        >>> loss = task(labels, logits)
    """

    def __init__(self) -> None:
        # Keras 2 can't take the mean itself: under tf.distribute it does not know the other devices' examples.
        loss = tf.keras.losses.BinaryCrossentropy(from_logits=True, reduction=tf.keras.losses.Reduction.SUM)
        self._task = tf.function(tfrs.tasks.Ranking(loss=loss))

    def __call__(
        self,
        labels: tf.Tensor,
        logits: tf.Tensor,
        weights: tf.Tensor | None = None,
        num_examples: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """The weighted mean loss over the global batch.

        Under `tf.distribute` each device has its share of the examples and returns its share of the mean: the sum over
        the devices is the loss of one device with the whole batch.

        Args:
            labels: Of any shape, 0 or 1 (or a probability between them).
            logits: Of the same shape.
            weights: Of the same shape, not negative: how much each example counts; 0 leaves it out. None: all alike.
            num_examples: What the weighted sum is divided by, float32 scalar: how many there are in the global batch,
                or in a batch on average. None: the sum of the global batch's weights.

        Returns:
            float32 scalar; 0 if nothing counts.
        """
        weights = tf.ones_like(logits, tf.float32) if weights is None else tf.cast(weights, tf.float32)
        # Columns, for the mean that Keras 2 takes over the last dimension: [num_examples, 1]
        labels, logits, weights = (tf.reshape(tf.cast(each, tf.float32), [-1, 1]) for each in (labels, logits, weights))
        loss = self._task(labels, logits, sample_weight=weights, compute_metrics=False)
        if num_examples is None:
            num_examples = tf.reduce_sum(weights)
            context = tf.distribute.get_replica_context()
            if context is not None and context.num_replicas_in_sync > 1:
                num_examples = context.all_reduce("sum", num_examples)
        return tf.math.divide_no_nan(loss, num_examples)
