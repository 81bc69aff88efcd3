"""What was done with each item of a history, and how long after the one before."""

from collections.abc import Mapping

import keras
import tensorflow as tf

from tfrec.features.context import HISTORY_EVENT, HISTORY_TIME

NUM_GAPS = 32
"""Buckets of time gaps; the last begins at 2^31 - 1 seconds, 68 years."""


class InteractionContext(keras.layers.Layer):
    r"""Embeddings of the event and of the time gap, added to the item vectors of a history.

    The gap $g$, in seconds, between an interaction and the one before it in the history falls into the bucket
    $\lfloor \log_2(1 + g) \rfloor$. That gaps tell something beside the order is from TiSASRec (Li et al. 2020, "Time
    interval aware self-attention for sequential recommendation"), which clips them; that their logarithm is divided
    into buckets, from the temporal attention bias of HSTU (Zhai et al. 2024, "Actions speak louder than words").

    All embeddings begin at zero: at first, a history is what it is without them. A gap that is not known adds nothing,
    and training hides the context of some histories, so that a request that brings none is no surprise.

    Args:
        num_events: Rows of the events' vocabulary, padding and unknown among them; 0: events are not looked at.
        time_gaps: Whether times are looked at.
        output_size: Dimensions of the item vectors.
        dropout: Share of the histories whose context training hides.

    Call arguments:
        history: [batch_size, history_length, output_size], oldest first.
        mask: bool [batch_size, history_length]; True where an item is.
        context: `history_event` int32 [batch_size, history_length], indices of the events' vocabulary, and
            `history_time` int64 [batch_size, history_length], seconds, as far as they are looked at.

    Returns:
        [batch_size, history_length, output_size]
    """

    def __init__(
        self, num_events: int, time_gaps: bool, output_size: int, dropout: float = 0.0, **kwargs: object
    ) -> None:
        super().__init__(**kwargs)
        self.num_events = num_events
        self.time_gaps = time_gaps
        self.output_size = output_size
        self.dropout = dropout
        self.events = keras.layers.Embedding(num_events, output_size, "zeros") if num_events else None
        self.gaps = keras.layers.Embedding(NUM_GAPS, output_size, "zeros") if time_gaps else None
        self.seed_generator = keras.random.SeedGenerator()

    @property
    def specs(self) -> dict[str, tf.DType]:
        """The names of the context that it reads, and their types."""
        events = {HISTORY_EVENT: tf.int32} if self.num_events else {}
        return events | ({HISTORY_TIME: tf.int64} if self.time_gaps else {})

    def build(self, input_shape: object = None) -> None:
        for embedding in (self.events, self.gaps):
            if embedding is not None:
                embedding.build()
        self.built = True

    def call(
        self, history: tf.Tensor, mask: tf.Tensor, context: Mapping[str, tf.Tensor], training: bool = False
    ) -> tf.Tensor:
        seen = mask
        if training and self.dropout:
            rows = tf.shape(mask)[0]
            seen &= keras.random.uniform([rows, 1], seed=self.seed_generator) >= self.dropout
        outputs = history
        if self.events is not None:
            vectors = self.events(context[HISTORY_EVENT])
            outputs += tf.where(seen[..., tf.newaxis], vectors, tf.zeros([], vectors.dtype))
        if self.gaps is not None:
            buckets = time_gap_buckets(context[HISTORY_TIME])
            vectors = self.gaps(tf.maximum(buckets, 0))
            known = seen & (buckets >= 0)
            outputs += tf.where(known[..., tf.newaxis], vectors, tf.zeros([], vectors.dtype))
        return outputs


def time_gap_buckets(times: tf.Tensor) -> tf.Tensor:
    r"""How long after the one before each interaction of a history came, as $\lfloor \log_2(1 + g) \rfloor$.

    Args:
        times: int64 [batch_size, history_length], seconds, oldest first; 0: not known.

    Returns:
        int32 [batch_size, history_length], 0 to NUM_GAPS - 1; -1 for the first of a history, and where one of the two
        times is not known. An interaction that is earlier than the one before it counts as if at the same time.

    Example:
        >>> time_gap_buckets(tf.constant([[1000, 1000, 1007, 0]], tf.int64)).numpy()
        array([[-1,  0,  3, -1]], dtype=int32)
    """
    before = tf.pad(times[:, :-1], [[0, 0], [1, 0]])
    gaps = tf.reshape(tf.maximum(times - before, 0), [-1])  # [batch_size * history_length]
    # Comparisons of whole numbers: a logarithm errs at some powers of two.
    buckets = tf.searchsorted(tf.constant([2**power - 1 for power in range(NUM_GAPS)], tf.int64), gaps, side="right")
    buckets = tf.reshape(buckets - 1, tf.shape(times))  # [batch_size, history_length]
    return tf.where((times != 0) & (before != 0), buckets, -1)
