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

    "" is padding (0), a term that is not listed is unknown (1), the first listed term is 2.

    Args:
        terms: Distinct strings, none of them empty.

    Example:
        >>> Vocabulary(["drama", "war"])(tf.constant(["war", "jazz", ""])).numpy()
        array([3, 1, 0], dtype=int32)
    """

    def __init__(self, terms: Sequence[str], name: str = "vocabulary") -> None:
        super().__init__(name=name)
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
        return self.table.lookup(terms)
