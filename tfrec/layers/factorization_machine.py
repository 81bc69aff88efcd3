"""All pairs of fields, in linear time."""

import tensorflow as tf


def pairwise_interactions(vectors: tf.Tensor) -> tf.Tensor:
    r"""The second-order term of a factorisation machine.

    With $v_i$ the vector of field $i$,

    $$ \sum_{i < j} \langle v_i, v_j \rangle =
       \frac{1}{2} \sum_d \Big[ \big(\sum_i v_{id}\big)^2 - \sum_i v_{id}^2 \Big] $$

    Rendle 2010, "Factorization Machines", equation 1 and lemma 3.1, with one value a field.

    Args:
        vectors: float32 [batch_size, num_fields, embedding_size].

    Returns:
        float32 [batch_size]
    """
    square_of_sum = tf.square(tf.reduce_sum(vectors, axis=1))  # [batch_size, embedding_size]
    sum_of_squares = tf.reduce_sum(tf.square(vectors), axis=1)
    return 0.5 * tf.reduce_sum(square_of_sum - sum_of_squares, axis=1)
