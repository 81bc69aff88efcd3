"""Where a model trains."""

import tensorflow as tf

from tfrec.config import TrainingConfig
from tfrec.errors import InputError


def choose_strategy(config: TrainingConfig) -> tf.distribute.Strategy:
    """The devices that the configuration asks for, as a tf.distribute strategy.

    Several devices of one machine train as one, through MirroredStrategy: a batch is divided among them. Several
    logical CPUs do so too, which is how it can be tried out without GPUs. Call it before TensorFlow's first
    operation: devices are fixed by then.

    Raises:
        InputError: There are no such devices, or the batch can't be divided among them.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if config.device == "gpu" and not gpus:
        raise InputError("Expected a GPU that TensorFlow sees. Received: none. Pass --device cpu, or mend the drivers.")
    kind = "CPU" if config.device == "cpu" or not gpus else "GPU"
    if kind == "CPU":
        tf.config.set_visible_devices([], "GPU")
    count = config.num_devices or max(1, len(gpus) if kind == "GPU" else 1)
    if kind == "GPU" and count > len(gpus):
        raise InputError(
            f"Expected at most {len(gpus)} GPUs, as many as TensorFlow sees. Received: --num-devices {count}"
        )
    if config.batch_size % count:
        raise InputError(
            f"Expected a batch_size that {count} devices can share evenly. Received: {config.batch_size}. "
            f"Pass --set training.batch_size={config.batch_size // count * count or count}"
        )
    if kind == "CPU" and count > 1 and len(tf.config.list_logical_devices("CPU")) < count:
        raise InputError(f"Expected {count} logical CPUs; make them with split_cpu({count}) before TensorFlow starts.")
    if count == 1:
        return tf.distribute.OneDeviceStrategy(f"/{kind}:0")
    return tf.distribute.MirroredStrategy([f"/{kind}:{number}" for number in range(count)])


def split_cpu(count: int) -> None:
    """Makes one CPU look like several devices. Only before TensorFlow's first operation."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(count)])
