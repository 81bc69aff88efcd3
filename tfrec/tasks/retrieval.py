"""TensorFlow Recommenders' retrieval task inside a Keras 3 train step."""

import tensorflow as tf
import tensorflow_recommenders as tfrs


class RetrievalTask:
    r"""In-batch softmax over the candidates of all devices, through `tfrs.tasks.Retrieval`.

    With $s(x, y)$ the dot product of query and candidate, $\tau$ the temperature and $p_j$ the probability with
    which candidate $j$ comes into a batch, the loss of query $i$ is

    $$ -\log \frac{e^{s(x_i, y_i)/\tau - \log p_i}}{\sum_j e^{s(x_i, y_j)/\tau - \log p_j}} $$

    The $-\log p_j$ is the log-Q correction (Yi et al. 2019, "Sampling-bias-corrected neural modeling for large
    corpus item recommendations", equations 3 to 5): without it a popular item, which is a negative more often,
    would be pushed down for it.

    A TFRS task is a Keras 2 layer and needs autograph, which Keras 3 switches off around its train step: a
    `tf.function` of its own brings it back. See docs/decisions/0001-keras-3-beside-tfrs.md.

    Args:
        temperature: Divides the scores.
        remove_accidental_hits: A negative with the same id as the query's positive gets no weight.

    Example:
        >>> task = RetrievalTask(temperature=0.05)
        >>> loss = task(queries, candidates, candidate_ids, candidate_sampling_probability)
    """

    def __init__(self, temperature: float = 1.0, remove_accidental_hits: bool = True) -> None:
        task = tfrs.tasks.Retrieval(temperature=temperature, remove_accidental_hits=remove_accidental_hits)
        self._task = tf.function(task)

    def __call__(
        self,
        query_embeddings: tf.Tensor,
        candidate_embeddings: tf.Tensor,
        candidate_ids: tf.Tensor,
        candidate_sampling_probability: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """The mean loss over the global batch.

        Under `tf.distribute` each device has its share of the queries and all devices' candidates, and returns
        its share of the mean: the sum over the devices is the loss of one device with the whole batch.

        Args:
            query_embeddings: [batch_size, embedding_size]
            candidate_embeddings: [batch_size, embedding_size]; row i is the positive of query i.
            candidate_ids: [batch_size], what accidental hits are recognised by.
            candidate_sampling_probability: [batch_size]; None: no log-Q correction.

        Returns:
            float32 scalar.
        """
        candidates = _gather_devices(tf.cast(candidate_embeddings, tf.float32))
        loss = self._task(
            tf.cast(query_embeddings, tf.float32),
            candidates,
            candidate_ids=_gather_devices(candidate_ids),
            candidate_sampling_probability=(
                None if candidate_sampling_probability is None else _gather_devices(candidate_sampling_probability)
            ),
            compute_metrics=False,  # It would scan the corpus at every step.
        )
        return loss / tf.cast(tf.shape(candidates)[0], tf.float32)


def _gather_devices(values: tf.Tensor) -> tf.Tensor:
    """The rows of all devices, this device's own first: row i stays the positive of this device's query i."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return values
    gathered = context.all_gather(tf.identity(values), axis=0)
    own = tf.cast(context.replica_id_in_sync_group, tf.int32) * tf.shape(values)[0]
    return tf.roll(gathered, shift=-own, axis=0)
