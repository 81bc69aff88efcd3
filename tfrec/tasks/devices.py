"""How many devices share a batch."""

import tensorflow as tf


def num_devices() -> float:
    """Inside a step the number of replicas under `tf.distribute`; 1 without."""
    context = tf.distribute.get_replica_context()
    return 1.0 if context is None else float(context.num_replicas_in_sync)
