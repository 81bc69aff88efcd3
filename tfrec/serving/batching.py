"""Batching: requests that come at the same time run as one, their rows one below the other."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np

from tfrec.serving.batching_parameters import PARAMETERS_OF_A_VERSION, BatchingParameters
from tfrec.serving.errors import RequestError, StartError, invalid_argument
from tfrec.serving.metrics import Metrics

Run = Callable[..., list[np.ndarray]]


@dataclass(eq=False)
class _Task:
    """A request that waits for its batch."""

    inputs: Sequence[np.ndarray]
    outputs: Sequence[int]
    """Positions of the outputs that it wants."""
    size: int
    deadline: float
    enqueued: float = field(default_factory=time.monotonic)
    answer: Future[list[np.ndarray]] = field(default_factory=Future)

    def starts(self) -> bool:
        """Whether somebody still waits for the answer, and may go on waiting."""
        if not self.answer.set_running_or_notify_cancel():
            return False
        if time.monotonic() < self.deadline:
            return True
        self.answer.set_exception(_too_late())
        return False


@dataclass(eq=False)
class _Batch:
    """Requests that will run as one.

    Attributes:
        due: When it runs even if it is not full.
    """

    tasks: list[_Task] = field(default_factory=list)
    size: int = 0
    due: float = float("inf")


class BatchQueue:
    """The requests that wait for one signature of one version. Thread-safe.

    The last batch is open: it takes further requests until it is full, or its time is over.

    Args:
        batcher: Whose threads run the batches.
        parameters: When a batch is full.
        names: The inputs' tensor names.
        run: Inputs -> outputs.
    """

    def __init__(self, batcher: "Batcher", parameters: BatchingParameters, names: Sequence[str], run: Run) -> None:
        self._batcher = batcher
        self._changed = batcher.changed
        self._parameters = parameters
        self._names = names
        self._run = run
        self._batches = deque([_Batch()])
        batcher.add(self)

    def run(
        self, inputs: Sequence[np.ndarray], outputs: Sequence[int], call: grpc.ServicerContext | None = None
    ) -> list[np.ndarray]:
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
        task = _Task(inputs, outputs, self._size(inputs), deadline)
        for _ in inputs:  # TensorFlow Serving counts the rows of each input.
            self._batcher.metrics.input_batch_size.add(task.size)
        self._add(task)
        if call is not None and not call.add_callback(task.answer.cancel):
            task.answer.cancel()
        try:
            return task.answer.result()
        except CancelledError as error:
            self._forget(task)
            raise _too_late() from error

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

    def _add(self, task: _Task) -> None:
        most = max(1, self._parameters.max_enqueued_batches)
        with self._changed:
            if self._batches[-1].size + task.size > self._parameters.max_batch_size:
                if len(self._batches) >= most:
                    raise RequestError(
                        grpc.StatusCode.UNAVAILABLE,
                        "The batch scheduling queue to which this task was submitted is full; currently "
                        f"{len(self._batches)} batches enqueued and max_enqueued_batches is {most}",
                    )
                self._batches.append(_Batch())
            batch = self._batches[-1]
            if not batch.tasks:
                batch.due = time.monotonic() + self._parameters.batch_timeout_micros / 1e6
            batch.tasks.append(task)
            batch.size += task.size
            self._changed.notify()

    def _forget(self, task: _Task) -> None:
        """Gives the place of a request that nobody waits for to another one."""
        with self._changed:
            for batch in self._batches:
                if task in batch.tasks:
                    batch.tasks.remove(task)
                    batch.size -= task.size
                    if not batch.tasks and len(self._batches) > 1:
                        self._batches.remove(batch)
                    return

    def due(self) -> float | None:
        """When the next batch may run, on the monotonic clock; None, nothing waits. Call it with `changed` held."""
        first = self._batches[0]
        if not first.tasks:
            return None
        is_closed = len(self._batches) > 1 or first.size >= self._parameters.max_batch_size
        return 0.0 if is_closed else first.due

    def take(self) -> list[_Task]:
        """The requests of the next batch. Call it with `changed` held."""
        batch = self._batches.popleft()
        if not self._batches:
            self._batches.append(_Batch())
        return batch.tasks

    def answer(self, tasks: Sequence[_Task]) -> None:
        """Runs requests as one batch. Whatever goes wrong is the answer of each of them."""
        tasks = [task for task in tasks if task.starts()]
        if not tasks:
            return
        rows = sum(task.size for task in tasks)
        size = self._parameters.padded_size(rows)
        metrics = self._batcher.metrics
        for task in tasks:
            metrics.queuing_latency.add((time.monotonic() - task.enqueued) * 1e6, "")
        metrics.processed_batch_size.add(size)
        metrics.padding_size.add(size - rows, str(size))
        try:
            inputs = self._merge(tasks, size - rows)
            metrics.wrapped_run_count.add()
            outputs = self._run(*inputs)
        except Exception as error:
            for task in tasks:
                task.answer.set_exception(error)
            return
        start = 0
        for task in tasks:
            try:
                task.answer.set_result([_rows(outputs[each], start, task.size, size) for each in task.outputs])
            except Exception as error:
                task.answer.set_exception(error)
            start += task.size

    def _merge(self, tasks: Sequence[_Task], padding: int) -> list[np.ndarray]:
        """The inputs of all requests, and `padding` rows more: copies of one that is known to be valid."""
        merged = []
        for position, name in enumerate(self._names):
            arrays = [task.inputs[position] for task in tasks]
            if len({array.shape[1:] for array in arrays}) > 1:
                arrays = self._widen(name, arrays)
            merged.append(np.concatenate([*arrays, np.repeat(arrays[-1][:1], padding, axis=0)]))
        return merged

    def _widen(self, name: str, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Arrays of one shape but for the rows, each padded with its own first element, as TensorFlow Serving does."""
        if not self._parameters.pad_variable_length_inputs or len({array.ndim for array in arrays}) > 1:
            raise RequestError(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"Tensors with name '{name}' from different tasks have different shapes and padding is turned off. "
                "Set pad_variable_length_inputs to true, or ensure that all tensors with the same name have equal "
                "dimensions starting with the first dim.",
            )
        if not all(array.size for array in arrays):
            raise invalid_argument("Got empty tensor in batch of non-empty tensors.")
        widest = np.max([array.shape[1:] for array in arrays], axis=0)
        padded = []
        for array in arrays:
            wide = np.full((len(array), *widest), array.flat[0], array.dtype)
            wide[tuple(slice(length) for length in array.shape)] = array
            padded.append(wide)
        return padded

    def close(self) -> None:
        """Takes the queue from the batcher; nothing may wait in it any more."""
        self._batcher.remove(self)


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

    def add(self, queue: BatchQueue) -> None:
        """Runs the batches of a queue from now on."""
        with self.changed:
            self._queues.append(queue)

    def remove(self, queue: BatchQueue) -> None:
        """Runs them no longer."""
        with self.changed:
            self._queues.remove(queue)

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            queue, tasks = batch
            queue.answer(tasks)
            # A thread that waits for the next batch would keep this one's arrays alive.
            del batch, tasks

    def _next(self) -> tuple[BatchQueue, list[_Task]] | None:
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


def _rows(output: np.ndarray, start: int, size: int, total: int) -> np.ndarray:
    """A request's rows of an output. Raises what TensorFlow Serving answers where the output has no batch."""
    if np.ndim(output) == 0:
        raise RequestError(grpc.StatusCode.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions")
    if len(output) != total:
        raise RequestError(
            grpc.StatusCode.FAILED_PRECONDITION,
            "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input "
            "tensors",
        )
    return output[start : start + size]


def _too_late() -> RequestError:
    return RequestError(grpc.StatusCode.DEADLINE_EXCEEDED, "The request was given up while it waited for its batch")
