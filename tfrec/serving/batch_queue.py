"""The requests that wait for one signature of one version, in the batches that they will run in."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from typing import Protocol

import grpc
import numpy as np

from tfrec.serving.batch import Batch, Task, join, merge, rows_of, too_late
from tfrec.serving.batching_parameters import BatchingParameters
from tfrec.serving.errors import RequestError, invalid_argument
from tfrec.serving.metrics import Metrics

Run = Callable[..., list[np.ndarray]]


class Call(Protocol):
    """Who asks, as gRPC tells it."""

    def time_remaining(self) -> float | None:
        """Seconds to the deadline; None, there is none."""

    def add_callback(self, callback: Callable[[], object]) -> bool:
        """Calls it when the call ends; False, it has."""


class BatchQueue:
    """The requests that wait for one signature of one version. Thread-safe.

    The last batch is open: it takes further requests until it is full, or its time is over.

    Args:
        changed: Guards the queue together with others; notified when it has a new request.
        metrics: Where batches are counted.
        parameters: When a batch is full.
        names: The inputs' tensor names.
        run: Inputs -> outputs.
    """

    def __init__(
        self,
        changed: threading.Condition,
        metrics: Metrics,
        parameters: BatchingParameters,
        names: Sequence[str],
        run: Run,
    ) -> None:
        self._changed = changed
        self._metrics = metrics
        self._parameters = parameters
        self._names = names
        self._run = run
        self._batches = deque([Batch()])

    def run(self, inputs: Sequence[np.ndarray], outputs: Sequence[int], call: Call | None = None) -> list[np.ndarray]:
        """Runs a request together with others, and returns its own rows.

        Args:
            inputs: In the order of `names`; the batch first.
            outputs: Positions of the outputs to return.
            call: Who asks. A call that ends while its request waits is not run.

        Raises:
            RequestError: The request cannot be batched, the queue is full, or its deadline has passed.
        """
        remaining = call.time_remaining() if call else None
        deadline = float("inf") if remaining is None else time.monotonic() + remaining
        size = self._size(inputs)
        for _ in inputs:  # TensorFlow Serving counts the rows of each input.
            self._metrics.input_batch_size.add(size)
        tasks = self._add(inputs, outputs, size, deadline)
        try:
            if call is not None and not call.add_callback(lambda: [task.answer.cancel() for task in tasks]):
                raise CancelledError
            answers = [task.answer.result(_seconds_until(deadline)) for task in tasks]
        except Exception as error:
            self._forget(tasks)
            if isinstance(error, CancelledError | TimeoutError):
                raise too_late() from error
            raise
        return [join(pieces) for pieces in zip(*answers, strict=True)]

    def _size(self, inputs: Sequence[np.ndarray]) -> int:
        """The rows of a request. Raises what TensorFlow Serving answers, but for 0 rows: those it never answers."""
        if not inputs:
            raise invalid_argument("Batching Run() must have at least one input tensor")
        if not all(array.ndim for array in inputs):
            raise invalid_argument("Batching Run() input tensors must have at least one dimension")
        size = len(inputs[0])
        if any(len(array) != size for array in inputs):
            raise invalid_argument("Batching Run() input tensors must have equal 0th-dimension size")
        if size == 0:
            raise invalid_argument("Expected 1 or more rows, because batching is on. Received: 0.")
        if size > self._parameters.max_batch_size:
            raise invalid_argument(
                f"Task size {size} is larger than maximum input batch size {self._parameters.max_batch_size}"
            )
        return size

    def _add(self, inputs: Sequence[np.ndarray], outputs: Sequence[int], size: int, deadline: float) -> list[Task]:
        """Puts a request into the open batch; or pieces of it into this one and into those that follow."""
        with self._changed:
            tasks = []
            start = 0
            for rows in self._pieces(size):
                piece = [array[start : start + rows] for array in inputs]
                task = Task(piece, outputs, rows, deadline)
                if self._batches[-1].size + rows > self._parameters.execution_size:
                    self._batches.append(Batch())
                batch = self._batches[-1]
                if not batch.tasks:
                    batch.due = time.monotonic() + self._parameters.batch_timeout_micros / 1e6
                batch.tasks.append(task)
                batch.size += rows
                tasks.append(task)
                start += rows
            self._changed.notify()
        return tasks

    def _pieces(self, size: int) -> list[int]:
        """The rows of each piece of a request: one piece, unless it is to be split. Raises if the queue is full."""
        most = max(1, self._parameters.max_enqueued_batches)
        count, limit = len(self._batches), self._parameters.execution_size
        room = limit - self._batches[-1].size
        if not self._parameters.enable_large_batch_splitting:
            if size > room and count >= most:
                raise _full(f"currently {count} batches enqueued and max_enqueued_batches is {most}")
            return [size]
        capacity = max(0, most - count) * limit + room
        if size > capacity:
            raise _full(
                f"task size is {size} but scheduling capacity is only {capacity} (num_enqueued_batches={count}, "
                f"max_enqueued_batches={most}, open_batch_size={limit - room}, max_execution_batch_size={limit})"
            )
        first = min(size, room)
        whole, rest = divmod(size - first, limit)
        return [rows for rows in (first, *[limit] * whole, rest) if rows]

    def _forget(self, tasks: Sequence[Task]) -> None:
        """Gives the places of a request that nobody waits for to others."""
        with self._changed:
            for task in tasks:
                task.answer.cancel()
            for batch in list(self._batches):
                batch.tasks = [task for task in batch.tasks if task not in tasks]
                batch.size = sum(task.size for task in batch.tasks)
                if not batch.tasks and len(self._batches) > 1:
                    self._batches.remove(batch)

    def due(self) -> float | None:
        """When the next batch may run, on the monotonic clock; None, nothing waits. Call it with `changed` held."""
        first = self._batches[0]
        if not first.tasks:
            return None
        is_closed = len(self._batches) > 1 or first.size >= self._parameters.execution_size
        return 0.0 if is_closed else first.due

    def take(self) -> list[Task]:
        """The requests of the next batch. Call it with `changed` held."""
        batch = self._batches.popleft()
        if not self._batches:
            self._batches.append(Batch())
        return batch.tasks

    def answer(self, tasks: Sequence[Task]) -> None:
        """Runs requests as one batch. Whatever goes wrong is the answer of each of them."""
        tasks = [task for task in tasks if task.starts()]
        if not tasks:
            return
        rows = sum(task.size for task in tasks)
        size = self._parameters.padded_size(rows)
        metrics = self._metrics
        for task in tasks:
            metrics.queuing_latency.add((time.monotonic() - task.enqueued) * 1e6, "")
        metrics.processed_batch_size.add(size)
        metrics.padding_size.add(size - rows, str(size))
        try:
            inputs = merge(tasks, self._names, size - rows, self._parameters.pad_variable_length_inputs)
            metrics.wrapped_run_count.add()
            outputs = self._run(*inputs)
        except Exception as error:
            for task in tasks:
                task.answer.set_exception(error)
            return
        start = 0
        for task in tasks:
            try:
                task.answer.set_result([rows_of(outputs[each], start, task.size, size) for each in task.outputs])
            except Exception as error:
                task.answer.set_exception(error)
            start += task.size


def _seconds_until(deadline: float) -> float | None:
    return None if deadline == float("inf") else max(0.0, deadline - time.monotonic())


def _full(why: str) -> RequestError:
    message = f"The batch scheduling queue to which this task was submitted is full; {why}"
    return RequestError(grpc.StatusCode.UNAVAILABLE, message)
