"""The parameters of batching, from a file."""

from pathlib import Path

import pytest

from tfrec.serving.batching_parameters import BatchingParameters
from tfrec.serving.errors import StartError


def test_the_parameters_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "batching.config"
    path.write_text("")
    assert BatchingParameters.read(path) == BatchingParameters()
    path.write_text(
        """
        max_batch_size { value: 8 }
        batch_timeout_micros { value: 0 }
        max_enqueued_batches { value: 7 }
        num_batch_threads { value: 3 }
        thread_pool_name { value: "any" }
        allowed_batch_sizes: 1
        allowed_batch_sizes: 8
        pad_variable_length_inputs: true
        """
    )
    assert BatchingParameters.read(path) == BatchingParameters(8, 0, 7, 3, (1, 8), True)
    # Of no effect unless requests are split.
    path.write_text("max_batch_size { value: 8 } max_execution_batch_size { value: 9 }")
    assert BatchingParameters.read(path).execution_size == 8
    path.write_text(
        "max_batch_size { value: 8 } max_execution_batch_size { value: 4 } enable_large_batch_splitting { value: true }"
    )
    assert BatchingParameters.read(path).execution_size == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size: 8", "Expected a BatchingParameters in text format in"),
        ("nonsense { value: 8 }", "Expected a BatchingParameters in text format in"),
        ("max_batch_size { value: 0 }", "Expected max_batch_size of 1 or more. Received: 0"),
        ("num_batch_threads { value: 0 }", "Expected num_batch_threads of 1 or more. Received: 0"),
        ("allowed_batch_sizes: 4 allowed_batch_sizes: 2", r"in increasing order from 1 on. Received: \[4, 2\]"),
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: 4",
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 4; expected 8",
        ),
        (
            "enable_large_batch_splitting { value: true } max_execution_batch_size { value: 1001 }",
            "Expected max_execution_batch_size of at most max_batch_size, 1000. Received: 1001",
        ),
        (
            "enable_large_batch_splitting { value: true } max_execution_batch_size { value: 4 } allowed_batch_sizes: 8",
            "Last entry in allowed_batch_sizes must match max_execution_batch_size; last entry was 8; expected 4",
        ),
    ],
)
def test_a_wrong_parameter_file(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "batching.config"
    path.write_text(text)
    with pytest.raises(StartError, match=message) as caught:
        BatchingParameters.read(path)
    assert str(path) in str(caught.value)
