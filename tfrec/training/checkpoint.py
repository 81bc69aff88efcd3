"""All that training needs to go on, in one file that is whole or absent."""

import json
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import numpy as np


def save_checkpoint(path: Path, variables: Sequence[keras.Variable | np.ndarray], state: dict[str, Any]) -> None:
    """Writes the variables, in order, and a JSON state, under a temporary name; then renames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        arrays = {str(number): np.asarray(variable) for number, variable in enumerate(variables)}
        np.savez(file, allow_pickle=False, state=json.dumps(state), **arrays)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


class CheckpointWriter:
    """Writes checkpoints while training goes on: a step waits for a copy of the variables, not for the disk."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._under_way: Future[None] | None = None

    def save(self, path: Path, variables: Sequence[keras.Variable], state: dict[str, Any]) -> None:
        """Copies the variables, and begins to write them and the state, as `save_checkpoint` does.

        Raises:
            OSError: What was to be written before could not be.
        """
        self.wait()
        copies = [np.array(variable) for variable in variables]
        self._under_way = self._pool.submit(save_checkpoint, path, copies, state)

    def wait(self) -> None:
        """Returns once what was begun is written.

        Raises:
            OSError: It could not be.
        """
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            under_way.result()

    def close(self) -> None:
        """Writes what was begun, and ends the thread.

        Raises:
            OSError: It could not be written.
        """
        self._pool.shutdown()
        self.wait()


def read_state(path: Path) -> dict[str, Any]:
    """The state alone, without a model."""
    with np.load(path) as arrays:
        state: dict[str, Any] = json.loads(str(arrays["state"]))
    return state


def load_checkpoint(path: Path, variables: Sequence[keras.Variable]) -> dict[str, Any]:
    """Assigns the variables, in the order in which they were saved, and returns the state.

    Raises:
        ValueError: The checkpoint was made by another architecture.
    """
    with np.load(path) as arrays:
        if len(arrays) != len(variables) + 1:
            raise ValueError(f"Expected {len(variables)} variables in {path}. Received: {len(arrays) - 1}")
        for number, variable in enumerate(variables):
            variable.assign(arrays[str(number)])
    return read_state(path)
