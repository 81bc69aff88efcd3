"""A batch: the requests in it, put together as one and taken apart again."""

import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import grpc
import numpy as np

from tfrec.serving.errors import RequestError, invalid_argument


@dataclass(eq=False)
class Task:
    """A request, or a piece of one, that waits for its batch."""

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
        self.answer.set_exception(too_late())
        return False


@dataclass(eq=False)
class Batch:
    """Requests that will run as one.

    Attributes:
        due: When it runs even if it is not full.
    """

    tasks: list[Task] = field(default_factory=list)
    size: int = 0
    due: float = float("inf")


def merge(tasks: Sequence[Task], names: Sequence[str], padding: int, may_widen: bool) -> list[np.ndarray]:
    """The inputs of all tasks, and `padding` rows more: copies of one that is known to be valid.

    Args:
        tasks: What runs together.
        names: The inputs' tensor names.
        padding: So many rows more.
        may_widen: Whether inputs of different widths are padded to the widest.

    Raises:
        RequestError: The inputs have different widths, and may not be padded or cannot be.
    """
    merged = []
    for position, name in enumerate(names):
        arrays = [task.inputs[position] for task in tasks]
        if len({array.shape[1:] for array in arrays}) > 1:
            arrays = _widen(name, arrays, may_widen)
        merged.append(np.concatenate([*arrays, np.repeat(arrays[-1][:1], padding, axis=0)]))
    return merged


def _widen(name: str, arrays: Sequence[np.ndarray], may_widen: bool) -> list[np.ndarray]:
    """Arrays of one shape but for the rows, each padded with its own first element, as TensorFlow Serving does."""
    if not may_widen or len({array.ndim for array in arrays}) > 1:
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


def join(pieces: Sequence[np.ndarray]) -> np.ndarray:
    """An output of a request from those of its pieces.

    Raises:
        RequestError: They differ in more than their rows, as when their batches were padded to different widths.
    """
    if len({piece.shape[1:] for piece in pieces}) > 1:
        raise invalid_argument(
            "The pieces of a split request have outputs of different shapes: send fewer rows at once."
        )
    return np.concatenate(pieces) if len(pieces) > 1 else pieces[0]


def rows_of(output: np.ndarray, start: int, size: int, total: int) -> np.ndarray:
    """A task's rows of an output.

    Raises:
        RequestError: The output has no batch.
    """
    if np.ndim(output) == 0:
        raise RequestError(grpc.StatusCode.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions")
    if len(output) != total:
        raise RequestError(
            grpc.StatusCode.FAILED_PRECONDITION,
            "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input "
            "tensors",
        )
    return output[start : start + size]


def too_late() -> RequestError:
    """What a request that nobody waits for any more would be answered."""
    return RequestError(grpc.StatusCode.DEADLINE_EXCEEDED, "The request was given up while it waited for its batch")
