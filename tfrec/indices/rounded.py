"""Dot products with many vectors, in integers of 8 bits."""

import numpy as np
import tensorflow as tf

from tfrec.features.vocabulary import NUM_SPECIAL

LARGEST_ITEM, LARGEST_QUERY = 127, 63
"""Of a vector's integers. Where a processor adds two products in 16 bits, larger ones of queries would not fit."""
ZERO = LARGEST_ITEM + 1
"""What is added to a vector's integers, which the operation wants from 0 to 255."""
LEVELS = 254
"""Of scores; 0 is for what is not asked for."""
SAMPLE, BEST_OF_SAMPLE = 1024, 64
ROWS_AT_ONCE = 2**16


class RoundedProducts(tf.Module):
    r"""Which of many vectors have large dot products with a query, in a quarter of the bytes.

    What all vectors have in common adds the same to each score, and is taken off first. Then vectors and queries become
    integers $u = \lfloor v / s \rceil$ and $r = \lfloor c q \rceil$, and their product, between the score of a rather
    good vector and the most it can be by Cauchy and Schwarz, $|q| \max |v|$, one of LEVELS steps. A rather good vector
    is the 64th of a sample of 1,024: one in sixteen is better, so what lies below, all 0, is of no interest among
    millions.

    The operation is oneDNN's, in TensorFlow for Linux on x86: at once on processors with VNNI, else if
    TF_ENABLE_ONEDNN_OPTS=1 is set.

    Args:
        vectors: float32 [num_rows, dimensions], a row for each row of the item table.

    Call arguments:
        queries: float32 [num_queries, dimensions]
        has_low: Whether low scores are of interest too.

    Returns:
        uint8 [num_rows, num_queries], larger for larger products, within a query; from 1 on if `has_low`.
    """

    def __init__(self, vectors: tf.Variable) -> None:
        super().__init__(name="rounded_products")
        self.num_rows = int(vectors.shape[0])
        items = vectors.numpy()[NUM_SPECIAL:]
        mean = items.mean(axis=0)
        parts = [items[low : low + ROWS_AT_ONCE] for low in range(0, len(items), ROWS_AT_ONCE)]
        self._step = float(max(np.abs(part - mean).max() for part in parts)) / LARGEST_ITEM or 1.0
        self._longest = float(max(np.linalg.norm(part - mean, axis=1).max() for part in parts)) or 1.0
        integers = np.full(vectors.shape, ZERO, np.uint8)
        for number, part in enumerate(parts):
            first = NUM_SPECIAL + number * ROWS_AT_ONCE
            integers[first : first + len(part)] = np.rint((part - mean) / self._step) + ZERO
        self._integers = tf.Variable(integers, trainable=False, name="rounded_vectors")
        sample = items[:: max(len(items) // SAMPLE, 1)][:SAMPLE] - mean
        self._sample = tf.Variable(sample, trainable=False, name="sample")

    def __call__(self, queries: tf.Tensor, has_low: bool) -> tf.Tensor:
        most = tf.norm(queries, axis=1, keepdims=True) * self._longest
        least = -most
        if not has_low:
            sampled = tf.matmul(queries, self._sample, transpose_b=True)
            least = tf.math.top_k(sampled, BEST_OF_SAMPLE).values[:, -1:]
        span = LARGEST_ITEM * self._longest  # of scaled scores, the same for all queries
        scale = tf.minimum(
            tf.math.divide_no_nan(span, most - least),
            tf.math.divide_no_nan(float(LARGEST_QUERY), tf.reduce_max(tf.abs(queries), axis=1, keepdims=True)),
        )
        scaled = tf.transpose(tf.round(queries * scale))  # [dimensions, num_queries]
        too_much = ZERO * self._step * tf.reduce_sum(scaled, axis=0)
        level = span / LEVELS
        bias = level - too_much - tf.squeeze(least * scale, axis=1)
        # Outside of a graph the operation has no kernel.
        multiply = tf.function(_multiply, autograph=False) if tf.executing_eagerly() else _multiply
        return tf.cond(
            tf.shape(queries)[0] > 0,
            lambda: multiply(self._integers, 255 * self._step, tf.cast(scaled, tf.int8), bias, 255 * level),
            lambda: tf.zeros([self.num_rows, 0], tf.uint8),
        )


def _multiply(vectors: tf.Variable, largest: float, queries: tf.Tensor, bias: tf.Tensor, most: float) -> tf.Tensor:
    """Products of integers; those of vectors mean values up to `largest`, those of the products up to `most`."""
    products, _, _ = tf.raw_ops.QuantizedMatMulWithBiasAndRequantize(
        a=tf.bitcast(vectors, tf.quint8),
        min_a=0.0,
        max_a=largest,
        b=tf.bitcast(queries, tf.qint8),
        min_b=-127.0,
        max_b=127.0,
        bias=bias,
        min_freezed_output=0.0,
        max_freezed_output=most,
        Toutput=tf.quint8,
        input_quant_mode="SCALED",
    )
    return tf.bitcast(products, tf.uint8)
