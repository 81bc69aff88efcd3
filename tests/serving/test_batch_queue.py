"""A queue by itself: what it pads, and what it does not run."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tfrec.serving.batching import Batcher
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
    queue = batcher.queue(parameters, ["text"], lambda text: [text])
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

    queue = batcher.queue(parameters, ["x"], run)
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

    queue = batcher.queue(parameters, ["x"], run)
    batcher.start()
    with pytest.raises(RequestError, match="given up"):
        queue.run([np.zeros(2)], [0], Asked(100.0, goes_on=False))  # type: ignore[arg-type]
    with ThreadPoolExecutor() as executor:
        for answer in [executor.submit(queue.run, [np.ones(rows)], [0]) for rows in (1, 2)]:
            assert answer.result(20)[0].tolist() in ([1.0], [1.0, 1.0])
    assert sizes == [3]
    batcher.close()


@pytest.mark.parametrize(
    ("limit", "before", "rows", "sizes"),
    [
        (0, 0, 10, [10]),  # max_execution_batch_size is max_batch_size
        (4, 0, 4, [4]),
        (4, 0, 9, [4, 4, 1]),
        (4, 1, 9, [4, 4, 2]),  # one waits in the open batch; three go with it
        (4, 3, 10, [4, 4, 4, 1]),
    ],
)
def test_a_large_request_is_split_among_batches(limit: int, before: int, rows: int, sizes: list[int]) -> None:
    parameters = BatchingParameters(
        max_batch_size=10,
        batch_timeout_micros=200_000,
        num_batch_threads=1,
        enable_large_batch_splitting=True,
        max_execution_batch_size=limit,
    )
    batcher = Batcher(parameters)
    ran: list[int] = []

    def run(x: np.ndarray) -> list[np.ndarray]:
        ran.append(len(x))
        return [2 * x]

    queue = batcher.queue(parameters, ["x"], run)
    with ThreadPoolExecutor() as executor:
        first = executor.submit(queue.run, [np.full(before, 7)], [0]) if before else None
        while before and not queue.due():
            pass
        x = np.arange(rows)
        answer = executor.submit(queue.run, [x], [0])
        batcher.start()
        assert answer.result(20)[0].tolist() == (2 * x).tolist()
        assert first is None or first.result(20)[0].tolist() == [14] * before
    assert ran == sizes
    batcher.close()


def test_a_split_request_fails_as_one() -> None:
    parameters = BatchingParameters(
        max_batch_size=6, max_enqueued_batches=4, enable_large_batch_splitting=True, max_execution_batch_size=2
    )
    batcher = Batcher(parameters)

    def run(x: np.ndarray) -> list[np.ndarray]:
        if 3 in x:
            raise ValueError("no threes")
        return [x]

    queue = batcher.queue(parameters, ["x"], run)
    batcher.start()
    with pytest.raises(ValueError, match="no threes"):
        queue.run([np.arange(6)], [0])
    assert queue.run([np.zeros(6)], [0])[0].tolist() == [0.0] * 6
    batcher.close()


def test_a_split_request_needs_room_for_all_of_it() -> None:
    parameters = BatchingParameters(
        max_batch_size=9, max_enqueued_batches=3, enable_large_batch_splitting=True, max_execution_batch_size=2
    )
    batcher = Batcher(parameters)
    queue = batcher.queue(parameters, ["x"], lambda x: [x])
    with pytest.raises(RequestError, match="Task size 10 is larger than maximum input batch size 9"):
        queue.run([np.zeros(10)], [0])
    message = r"task size is 7 but scheduling capacity is only 6 \(num_enqueued_batches=1, max_enqueued_batches=3, "
    with pytest.raises(RequestError, match=message):
        queue.run([np.zeros(7)], [0])
    batcher.start()
    assert queue.run([np.ones(6)], [0])[0].tolist() == [1.0] * 6
    batcher.close()


def test_pieces_that_were_padded_to_different_widths_do_not_go_together() -> None:
    parameters = BatchingParameters(
        max_batch_size=4,
        batch_timeout_micros=200_000,
        pad_variable_length_inputs=True,
        enable_large_batch_splitting=True,
        max_execution_batch_size=2,
    )
    batcher = Batcher(parameters)
    queue = batcher.queue(parameters, ["x"], lambda x: [x])
    with ThreadPoolExecutor() as executor:
        first = executor.submit(queue.run, [np.zeros((1, 3))], [0])
        while not queue.due():
            pass
        second = executor.submit(queue.run, [np.zeros((2, 1))], [0])
        batcher.start()
        assert first.result(20)[0].shape == (1, 3)
        with pytest.raises(RequestError, match="send fewer rows at once"):
            second.result(20)
    batcher.close()
