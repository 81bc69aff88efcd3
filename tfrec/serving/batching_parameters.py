"""When a batch is full, and how long it waits for that."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tfrec.serving.errors import StartError
from tfrec.serving.text_protos import read_text_proto

PARAMETERS_OF_A_VERSION = "batching_params.pbtxt"
"""Where a version keeps parameters of its own."""


@dataclass(frozen=True)
class BatchingParameters:
    """When a batch is full, and how long it waits for that. The defaults are TensorFlow Serving's.

    Attributes:
        max_batch_size: Rows of a full batch. A request of more is refused.
        batch_timeout_micros: How long the first request of a batch waits for others.
        max_enqueued_batches: How many batches may wait, for each signature of a version.
        num_batch_threads: How many batches run at the same time.
        allowed_batch_sizes: A batch is filled up with copies of a row to the next of these. None: it stays as it is.
        pad_variable_length_inputs: Whether inputs of different widths are padded to the widest. Otherwise they fail.
        enable_large_batch_splitting: Whether a request that does not fit into the open batch is split among batches.
        max_execution_batch_size: Rows of a full batch where requests are split; `max_batch_size` is then what a request
            may have. 0 is `max_batch_size`.

    Raises:
        StartError: A number is out of range, or the last allowed size is not the maximum.
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = os.cpu_count() or 1
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int = 0

    def __post_init__(self) -> None:
        for name, least in (
            ("max_batch_size", 1),
            ("batch_timeout_micros", 0),
            ("max_enqueued_batches", 0),
            ("num_batch_threads", 1),
            ("max_execution_batch_size", 0),
        ):
            if getattr(self, name) < least:
                raise StartError(f"Expected {name} of {least} or more. Received: {getattr(self, name)}.")
        sizes = self.allowed_batch_sizes
        if list(sizes) != sorted(set(sizes)) or min(sizes, default=1) < 1:
            raise StartError(f"Expected allowed_batch_sizes in increasing order from 1 on. Received: {list(sizes)}.")
        if self.execution_size > self.max_batch_size:
            raise StartError(
                f"Expected max_execution_batch_size of at most max_batch_size, {self.max_batch_size}. Received: "
                f"{self.execution_size}."
            )
        if sizes and sizes[-1] != self.execution_size:
            name = "max_execution_batch_size" if self.enable_large_batch_splitting else "max_batch_size"
            raise StartError(
                f"Last entry in allowed_batch_sizes must match {name}; "
                f"last entry was {sizes[-1]}; expected {self.execution_size}"
            )

    @classmethod
    def read(cls, path: Path) -> Self:
        """The parameters of a BatchingParameters in text format, TensorFlow Serving's `--batching_parameters_file`.

        Raises:
            StartError: The file cannot be read or parsed, or a parameter is out of range.
        """
        proto = read_text_proto(path, "BatchingParameters")
        names = (
            "max_batch_size",
            "batch_timeout_micros",
            "max_enqueued_batches",
            "num_batch_threads",
            "enable_large_batch_splitting",
            "max_execution_batch_size",
        )
        given = {name: getattr(proto, name).value for name in names if proto.HasField(name)}
        try:
            return cls(
                **given,
                allowed_batch_sizes=tuple(proto.allowed_batch_sizes),
                pad_variable_length_inputs=proto.pad_variable_length_inputs,
            )
        except StartError as error:
            raise StartError(f"{path}: {error}") from error

    @property
    def execution_size(self) -> int:
        """Rows of a full batch."""
        is_given = self.enable_large_batch_splitting and self.max_execution_batch_size
        return self.max_execution_batch_size if is_given else self.max_batch_size

    def padded_size(self, size: int) -> int:
        """The smallest allowed size of at least `size` rows."""
        return next((allowed for allowed in self.allowed_batch_sizes if allowed >= size), size)
