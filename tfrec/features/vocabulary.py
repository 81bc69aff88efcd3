"""How ids become row numbers of embedding tables, in training and in serving alike."""

from collections.abc import Sequence

import tensorflow as tf

PADDING = 0
"""Index of the empty string: nothing is there."""
UNKNOWN = 1
"""Index of whatever the vocabulary lacks."""
NUM_SPECIAL = 2
"""The first term of the vocabulary has this index: index = code + NUM_SPECIAL."""


class Vocabulary(tf.Module):
    """String -> index, as a lookup table that travels inside a SavedModel.

    "" is padding (0), a term that is not listed is unknown (1), the first listed term is 2. With buckets, terms that
    are not listed have the indices after the last listed one, by their hash (Weinberger et al. 2009, "Feature hashing
    for large scale multitask learning").

    Args:
        terms: Distinct strings, none of them empty.
        num_buckets: How many indices terms that are not listed share; 0: they are unknown.

    Example:
        >>> Vocabulary(["drama", "war"])(tf.constant(["war", "jazz", ""])).numpy()
        array([3, 1, 0], dtype=int32)
    """

    def __init__(self, terms: Sequence[str], num_buckets: int = 0, name: str = "vocabulary") -> None:
        super().__init__(name=name)
        self.num_buckets = num_buckets
        self.size = len(terms) + NUM_SPECIAL
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant(["", *terms], tf.string),
                tf.constant([PADDING, *range(NUM_SPECIAL, self.size)], tf.int32),
            ),
            default_value=UNKNOWN,
        )

    def __call__(self, terms: tf.Tensor) -> tf.Tensor:
        """int32 indices, of the same shape as the strings."""
        indices = self.table.lookup(terms)
        if not self.num_buckets:
            return indices
        buckets = self.size + tf.cast(tf.strings.to_hash_bucket_fast(terms, self.num_buckets), tf.int32)
        return tf.where(indices == UNKNOWN, buckets, indices)
