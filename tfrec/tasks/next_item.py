"""Losses that ask for the right item out of the catalogue, or out of a sample of it."""

import tensorflow as tf

from tfrec.features.vocabulary import NUM_SPECIAL

LOGITS_AT_ONCE = 1 << 20
"""4 MB: what a CPU's cache holds."""

FEWEST_ROWS = 64
"""Products of fewer rows take longer than what the cache saves."""


def full_softmax(queries: tf.Tensor, item_vectors: tf.Tensor, targets: tf.Tensor, temperature: float) -> tf.Tensor:
    r"""Cross-entropy of the right item among all items, summed over the queries; no negatives are sampled.

    $$ -\sum_i \log \frac{e^{x_i \cdot y_{t_i} / \tau}}{\sum_j e^{x_i \cdot y_j / \tau}} $$

    Sampled negatives make a model overconfident (Petrov & Macdonald 2023, "gSASRec"); the full sum has nothing to
    correct, and up to some ten thousand items it is affordable. The logits are made and used up some queries at a time,
    gradients included, so that they stay in the cache and never take [num_queries, num_items] of memory.

    Args:
        queries: float32 [num_queries, embedding_size]
        item_vectors: float32 [num_rows, embedding_size], padding and unknown in the first two rows: never candidates.
        targets: int32 [num_queries] item indices, none of them special.
        temperature: Divides the scores.

    Returns:
        float32 scalar.
    """
    items = item_vectors[NUM_SPECIAL:]
    labels = targets - NUM_SPECIAL
    num_queries, num_items = tf.shape(queries)[0], tf.shape(items)[0]
    rows_at_once = tf.maximum(LOGITS_AT_ONCE // num_items, FEWEST_ROWS)

    @tf.custom_gradient
    def summed(queries: tf.Tensor, items: tf.Tensor) -> tuple[tf.Tensor, object]:
        num_parts = -(-num_queries // rows_at_once)

        def part(
            number: tf.Tensor, loss: tf.Tensor, of_queries: tf.TensorArray, of_items: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray, tf.Tensor]:
            some = slice(number * rows_at_once, (number + 1) * rows_at_once)
            logits = tf.matmul(queries[some], items, transpose_b=True) / temperature
            log_probabilities = tf.nn.log_softmax(logits)
            places = tf.stack([tf.range(tf.shape(logits)[0]), labels[some]], axis=1)
            of_logits = tf.tensor_scatter_nd_sub(
                tf.exp(log_probabilities), places, tf.ones_like(labels[some], tf.float32)
            )
            return (
                number + 1,
                loss - tf.reduce_sum(tf.gather_nd(log_probabilities, places)),
                of_queries.write(number, tf.matmul(of_logits, items) / temperature),
                of_items + tf.matmul(of_logits, queries[some], transpose_a=True) / temperature,
            )

        _, loss, of_queries, of_items = tf.while_loop(
            lambda number, *_: number < num_parts,
            part,
            (0, 0.0, tf.TensorArray(tf.float32, num_parts, infer_shape=False), tf.zeros_like(items)),
            parallel_iterations=1,
        )
        of_queries = tf.reshape(of_queries.concat(), tf.shape(queries))
        return loss, lambda upstream: (upstream * of_queries, upstream * of_items)

    return summed(queries, items)


def sampled_softmax(
    queries: tf.Tensor,
    positives: tf.Tensor,
    negatives: tf.Tensor,
    hits: tf.Tensor,
    num_items: int,
    temperature: float,
) -> tf.Tensor:
    r"""Cross-entropy of the right item among it and a uniform sample of the others, summed over the queries.

    The sample's sum is scaled up to all $N - 1$ other items ($k$ of them drawn), so that the partition function is the
    full softmax's in expectation, and the model is not made overconfident by having seen few negatives (Jean et al.
    2015, "On using very large target vocabulary for neural machine translation", equation 8; the reason is that of
    Petrov & Macdonald 2023, "gSASRec", section 4):

    $$ -\sum_i \log \frac{e^{s^+_i}}{e^{s^+_i} + \frac{N - 1}{k} \sum_j e^{s^-_{ij}}} $$

    Args:
        queries: float32 [num_queries, embedding_size]
        positives: float32 [num_queries, embedding_size], the right items' vectors.
        negatives: float32 [num_negatives, embedding_size], drawn uniformly, for all queries alike.
        hits: bool [num_queries, num_negatives]; True where a negative is the query's right item: it does not count.
        num_items: In the catalogue.
        temperature: Divides the scores.

    Returns:
        float32 scalar.
    """
    right, others = _logits(queries, positives, negatives, hits, temperature)
    drawn = tf.reduce_sum(tf.cast(~hits, tf.float32), axis=1, keepdims=True)  # [num_queries, 1]
    others += tf.math.log((num_items - 1) / tf.maximum(drawn, 1.0))
    logits = tf.concat([right[:, tf.newaxis], others], axis=1)  # [num_queries, 1 + num_negatives]
    return tf.reduce_sum(tf.reduce_logsumexp(logits, axis=1) - right)


def generalised_bce(
    queries: tf.Tensor,
    positives: tf.Tensor,
    negatives: tf.Tensor,
    hits: tf.Tensor,
    num_items: int,
    temperature: float,
    calibration: float,
) -> tf.Tensor:
    r"""gBCE: binary cross-entropy of the right item and sampled negatives, corrected for the sampling.

    Petrov & Macdonald 2023, "gSASRec: reducing overconfidence in sequential recommendation trained with negative
    sampling", equations 8 and 9. With $k$ negatives drawn out of $N - 1$, $\alpha = k / (N - 1)$ and calibration $t$:

    $$ -\frac{1}{k + 1} \Big( \beta \log \sigma(s^+) + \sum_j \log(1 - \sigma(s^-_j)) \Big), \qquad
       \beta = \alpha \Big( t \Big(1 - \frac{1}{\alpha}\Big) + \frac{1}{\alpha} \Big) $$

    $t = 0$ is plain binary cross-entropy; $t = 1$ gives the probabilities that all negatives would.

    Args:
        queries: As sampled_softmax's, and so the other arguments.
        calibration: $t$, from 0 to 1.

    Returns:
        float32 scalar, summed over the queries.
    """
    right, others = _logits(queries, positives, negatives, hits, temperature)
    sampling_rate = tf.shape(negatives)[0] / (num_items - 1)
    sampling_rate = tf.minimum(tf.cast(sampling_rate, tf.float32), 1.0)
    power = sampling_rate * (calibration * (1 - 1 / sampling_rate) + 1 / sampling_rate)
    losses = power * tf.nn.softplus(-right) + tf.reduce_sum(tf.nn.softplus(others), axis=1)
    return tf.reduce_sum(losses) / tf.cast(1 + tf.shape(negatives)[0], tf.float32)


def _logits(
    queries: tf.Tensor, positives: tf.Tensor, negatives: tf.Tensor, hits: tf.Tensor, temperature: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Of the right items, [num_queries], and of the negatives, [num_queries, num_negatives]."""
    right = tf.reduce_sum(queries * positives, axis=1) / temperature
    others = tf.matmul(queries, negatives, transpose_b=True) / temperature
    return right, tf.where(hits, LOWEST, others)


LOWEST = -1e9
"""A logit that adds nothing to any sum, and of which softplus is 0."""
