"""Softmax over the whole catalogue."""

import tensorflow as tf

from tfrec.features.vocabulary import NUM_SPECIAL


def catalogue_softmax(queries: tf.Tensor, item_vectors: tf.Tensor, targets: tf.Tensor, temperature: float) -> tf.Tensor:
    r"""Cross-entropy of the right item among all items, with no negatives sampled.

    $$ -\log \frac{e^{x_i \cdot y_{t_i} / \tau}}{\sum_j e^{x_i \cdot y_j / \tau}} $$

    Sampled negatives make a model overconfident (Petrov & Macdonald 2023, "gSASRec"); the full sum has nothing to
    correct, and up to some ten thousand items it is affordable.

    Args:
        queries: float32 [num_queries, embedding_size]
        item_vectors: float32 [num_rows, embedding_size], padding and unknown in the first two rows: never candidates.
        targets: int32 [num_queries] item indices, none of them special.
        temperature: Divides the scores.

    Returns:
        float32 [num_queries]
    """
    logits = tf.matmul(queries, item_vectors[NUM_SPECIAL:], transpose_b=True) / temperature
    return tf.nn.sparse_softmax_cross_entropy_with_logits(targets - NUM_SPECIAL, logits)
