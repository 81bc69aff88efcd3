"""Several workers that train as one: how they meet, and what they say when one is lost."""

import hashlib
import math
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from tfrec.errors import InputError, TrainingError
from tfrec.training.cluster import Cluster
from tfrec.training.epoch_end import TrainingState, restore_loss

CONNECT_SECONDS = 600.0
"""How long workers wait for each other at the start."""


def connect(cluster: Cluster, seconds: float = CONNECT_SECONDS) -> tf.distribute.Strategy:
    """Waits for all workers and makes them a strategy.

    Raises:
        InputError: Some did not come, or can't be reached.
    """
    found: list[tf.distribute.Strategy] = []
    failed: list[Exception] = []

    def make() -> None:
        try:
            found.append(tf.distribute.MultiWorkerMirroredStrategy())
        except Exception as error:  # Whatever it is, the main thread tells it.
            failed.append(error)

    # TensorFlow waits an hour, deaf to signals; beside it this thread can listen and give up.
    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    deadline = time.monotonic() + seconds
    while thread.is_alive() and time.monotonic() < deadline:
        thread.join(0.2)
        # TensorFlow takes SIGTERM as the news that the machine will soon be gone, and goes on.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if found:
        return found[0]
    received = _reason(failed[0]) if failed else f"not all of them after {seconds:.0f} seconds"
    raise InputError(
        f"Expected the workers {', '.join(cluster.addresses)} to meet; this is {cluster.name}. Received: {received}. "
        "Start the same command on each, with a TF_CONFIG that differs in the task alone, where the others' ports can "
        "be reached."
    )


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process prepares, validates and saves: the only one, or the first of several workers."""
    resolver = strategy.cluster_resolver
    jobs = {} if resolver is None else resolver.cluster_spec().as_dict()
    return not jobs or (resolver.task_type, resolver.task_id) == ("chief" if "chief" in jobs else "worker", 0)


def meet(strategy: tf.distribute.Strategy, knowing: str = "") -> None:
    """Waits until all workers have come as far; one alone does not wait.

    Args:
        strategy: The workers.
        knowing: What all must know alike.

    Raises:
        InputError: Another worker knows something else.
    """
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return
    own = int.from_bytes(hashlib.sha256(knowing.encode()).digest()[:7])

    def gather() -> tf.Tensor:
        return tf.distribute.get_replica_context().all_gather(tf.constant([own], tf.int64), axis=0)

    everyone = tf.function(lambda: strategy.run(gather), autograph=False)()
    if len(set(strategy.experimental_local_results(everyone)[0].numpy().tolist())) > 1:
        raise InputError(
            "Expected all workers to train the same run. Received: other data or another checkpoint on one of them. "
            "Give all the same folder as --run, on a file system that they share."
        )


class Follow(keras.callbacks.Callback):
    """What a worker beside the chief does while the chief validates and saves: it counts."""

    def __init__(self, state: TrainingState) -> None:
        super().__init__()
        self.state = state

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        restore_loss(self.model, self.state)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            raise TrainingError(f"The loss became {loss} at step {batch + 1}. The chief says more.")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.state.finish_epoch()


@contextmanager
def messages_for_lost_workers(cluster: Cluster | None) -> Iterator[None]:
    """What TensorFlow raises where another worker has ended becomes a TrainingError."""
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        if cluster is None:
            raise
        raise TrainingError(
            f"Another worker was lost; this is {cluster.name}. Received: {_reason(error)}. Read what it said at "
            "its end, then start the same command on all workers: it goes on from the latest checkpoint."
        ) from error


def _reason(error: Exception) -> str:
    """What TensorFlow says of it, without the graph's nodes and the call stack."""
    message = str(error)
    aborted = re.search("aborted by: (.*)", message)
    said = aborted[1] if aborted else message.partition("\n")[0].rpartition("}} ")[2]
    return said.partition(". ")[0].rstrip(".: ")
