"""Where a model trains."""

import ctypes
import platform

import tensorflow as tf

from tfrec.config import TrainingConfig
from tfrec.errors import InputError
from tfrec.training.cluster import Cluster
from tfrec.training.workers import connect


def choose_strategy(config: TrainingConfig, cluster: Cluster | None = None) -> tf.distribute.Strategy:
    """The devices that the configuration asks for, as a tf.distribute strategy.

    Several devices of one machine train as one, through MirroredStrategy: a batch is divided among them. Without GPUs
    the CPU is made to look like several devices, to try that out. Call it before TensorFlow's first operation: the
    devices are fixed by then.

    Several workers, each with as many devices, train as one through MultiWorkerMirroredStrategy, once all have come.

    Raises:
        InputError: There are no such devices or workers, or the batch can't be divided among them.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if config.device == "gpu" and not gpus:
        raise InputError("Expected a GPU that TensorFlow sees. Received: none. Pass --device cpu, or mend the drivers.")
    kind = "CPU" if config.device == "cpu" or not gpus else "GPU"
    count = config.num_devices or (len(gpus) if kind == "GPU" else 1)
    if cluster is not None and kind == "CPU" and count > 1:
        raise InputError(f"Expected one CPU on each of several workers. Received: --num-devices {count}. Leave it out.")
    total = count * (1 if cluster is None else len(cluster.addresses))
    if config.batch_size % total:
        raise InputError(
            f"Expected a batch_size that {total} devices can share evenly. Received: {config.batch_size}. "
            f"Pass --batch-size {max(config.batch_size // total, 1) * total}"
        )
    if kind == "GPU" and count > len(gpus):
        raise InputError(f"Expected at most {len(gpus)} GPUs, all that there are. Received: --num-devices {count}")
    if kind == "CPU":
        tf.config.set_visible_devices([], "GPU")
        if count > 1:
            cpu = tf.config.list_physical_devices("CPU")[0]
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    if cluster is not None:
        tf.config.set_visible_devices(gpus[:count] if kind == "GPU" else [], "GPU")
        return connect(cluster)
    if count == 1:
        return tf.distribute.OneDeviceStrategy(f"/{kind}:0")
    return tf.distribute.MirroredStrategy([f"/{kind}:{number}" for number in range(count)])


def keep_freed_memory() -> None:
    """Lets the process keep what it frees, so that the next step finds it again.

    Each step allocates and frees the same large arrays. The C library hands them back to the system each time, which
    then clears them page by page: half of a step's time on a CPU. See docs/decisions/0007-keep-freed-memory.md.
    Without effect on other C libraries than glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL("libc.so.6")
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3  # malloc.h: M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD
    library.mallopt(mmap_threshold, 32 << 20)  # The most that glibc takes.
    library.mallopt(trim_threshold, 2**31 - 1)
    library.mallopt(top_pad, 64 << 20)
