"""Batching: requests that come at the same time run as one, their rows one below the other."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from tfrec.serving.batch import Task
from tfrec.serving.batch_queue import BatchQueue, Run
from tfrec.serving.batching_parameters import PARAMETERS_OF_A_VERSION, BatchingParameters
from tfrec.serving.errors import StartError, invalid_argument
from tfrec.serving.metrics import Metrics


class Batcher:
    """The threads that run the batches of all queues, a batch of each queue in turn.

    Args:
        parameters: Of all versions, and the number of threads.
        per_model: Whether each version has its own parameters, in `batching_params.pbtxt`; one without is not batched.
        metrics: Where batches are counted.
    """

    def __init__(self, parameters: BatchingParameters, per_model: bool = False, metrics: Metrics | None = None) -> None:
        self.metrics = metrics or Metrics()
        self._parameters = parameters
        self._per_model = per_model
        self.changed = threading.Condition()
        """Guards all queues, and wakes a thread when one of them has a new request."""
        self._queues: deque[BatchQueue] = deque()
        self._is_draining = False
        self._is_closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"batch {number}", daemon=True)
            for number in range(parameters.num_batch_threads)
        ]

    def start(self) -> None:
        """Begins to run batches."""
        for thread in self._threads:
            thread.start()

    def parameters_of(self, version: Path) -> BatchingParameters | None:
        """The parameters of a version in this folder; None, it is not to be batched.

        Raises:
            RequestError: INVALID_ARGUMENT, its own are wrong.
        """
        if not self._per_model:
            return self._parameters
        path = version / PARAMETERS_OF_A_VERSION
        if not path.exists():
            return None
        try:
            return BatchingParameters.read(path)
        except StartError as error:
            raise invalid_argument(str(error)) from error

    def queue(self, parameters: BatchingParameters, names: Sequence[str], run: Run) -> BatchQueue:
        """A new queue, whose batches are run from now on. See `BatchQueue` for the arguments."""
        queue = BatchQueue(self.changed, self.metrics, parameters, names, run)
        with self.changed:
            self._queues.append(queue)
        return queue

    def remove(self, queue: BatchQueue) -> None:
        """Runs its batches no longer; nothing may wait in it any more."""
        with self.changed:
            self._queues.remove(queue)

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            queue, tasks = batch
            queue.answer(tasks)
            # A thread that waits for the next batch would keep this one's arrays alive.
            del batch, tasks

    def _next(self) -> tuple[BatchQueue, list[Task]] | None:
        with self.changed:
            while True:
                waiting = {queue: due for queue in self._queues if (due := queue.due()) is not None}
                now = time.monotonic()
                for queue, due in waiting.items():
                    if self._is_draining or due <= now:
                        self._queues.remove(queue)
                        self._queues.append(queue)
                        self.changed.notify()  # Another batch may be due as well.
                        return queue, queue.take()
                if self._is_closed:
                    return None
                next_due = min(waiting.values(), default=float("inf"))
                self.changed.wait(min(next_due - now, threading.TIMEOUT_MAX))

    def drain(self) -> None:
        """Waits no longer for batches to fill: what is in the queues, and what comes now, runs at once."""
        with self.changed:
            self._is_draining = True
            self.changed.notify_all()

    def close(self) -> None:
        """Runs what is in the queues, and ends the threads."""
        self.drain()
        with self.changed:
            self._is_closed = True
            self.changed.notify_all()
