"""A queue by itself: what it pads, and what it does not run."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tfrec.serving.batching import Batcher, BatchQueue
from tfrec.serving.batching_parameters import BatchingParameters
from tfrec.serving.errors import RequestError


class Asked:
    """A call of which its queue is told that so many seconds remain, and whether it goes on."""

    def __init__(self, remaining: float, goes_on: bool) -> None:
        self.remaining = remaining
        self.goes_on = goes_on

    def time_remaining(self) -> float:
        return self.remaining

    def add_callback(self, callback: Callable[[], object]) -> bool:
        return self.goes_on


def test_texts_are_padded_too() -> None:
    parameters = BatchingParameters(max_batch_size=2, batch_timeout_micros=5_000_000, pad_variable_length_inputs=True)
    batcher = Batcher(parameters)
    queue = BatchQueue(batcher, parameters, ["text"], lambda text: [text])
    batcher.start()
    with ThreadPoolExecutor() as executor:
        rows = [np.array([[b"a", b"bc"]], object), np.array([[b"d"]], object)]
        wide, narrow = executor.map(lambda text: queue.run([text], [0])[0].tolist(), rows)
    assert (wide, narrow) == ([[b"a", b"bc"]], [[b"d", b"d"]])
    batcher.close()


@pytest.mark.parametrize(("remaining", "goes_on"), [(0.0, True), (100.0, False)])
def test_what_came_too_late_is_not_run(remaining: float, goes_on: bool) -> None:
    parameters = BatchingParameters(batch_timeout_micros=1000)
    batcher = Batcher(parameters)
    ran: list[np.ndarray] = []

    def run(x: np.ndarray) -> list[np.ndarray]:
        ran.append(x)
        return [x]

    queue = BatchQueue(batcher, parameters, ["x"], run)
    batcher.start()
    late = Asked(remaining, goes_on)
    with pytest.raises(RequestError, match="DEADLINE_EXCEEDED: The request was given up while it waited"):
        queue.run([np.zeros(1)], [0], late)  # type: ignore[arg-type]
    assert queue.run([np.ones(1)], [0])[0].tolist() == [1.0]
    assert [x.tolist() for x in ran] == [[1.0]]
    batcher.close()


def test_the_place_of_what_was_given_up_is_free() -> None:
    parameters = BatchingParameters(max_batch_size=3, batch_timeout_micros=5_000_000)
    batcher = Batcher(parameters)
    sizes: list[int] = []

    def run(x: np.ndarray) -> list[np.ndarray]:
        sizes.append(len(x))
        return [x]

    queue = BatchQueue(batcher, parameters, ["x"], run)
    batcher.start()
    with pytest.raises(RequestError, match="given up"):
        queue.run([np.zeros(2)], [0], Asked(100.0, goes_on=False))  # type: ignore[arg-type]
    with ThreadPoolExecutor() as executor:
        for answer in [executor.submit(queue.run, [np.ones(rows)], [0]) for rows in (1, 2)]:
            assert answer.result(20)[0].tolist() in ([1.0], [1.0, 1.0])
    assert sizes == [3]
    batcher.close()
