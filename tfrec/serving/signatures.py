"""What a signature takes and gives, and checking inputs against it before they are sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef, TensorInfo

Values = np.ndarray | Sequence[Any]


@dataclass(frozen=True)
class TensorSpec:
    """One input or output.

    Attributes:
        dtype: `tf.string`, `tf.float32`, …
        shape: Dimensions, the batch first; None for one that is not fixed. None if not even the rank is fixed.
    """

    dtype: tf.DType
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        dimensions = "any shape" if self.shape is None else str(["?" if size is None else size for size in self.shape])
        return f"{self.dtype.name} {dimensions}".replace("'", "")

    @classmethod
    def from_proto(cls, info: TensorInfo) -> "TensorSpec":
        """The spec that a SavedModel states."""
        shape = tf.TensorShape(info.tensor_shape)
        return cls(tf.as_dtype(info.dtype), None if shape.rank is None else tuple(shape.as_list()))


@dataclass(frozen=True)
class Signature:
    """A signature's inputs and outputs by name."""

    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]

    @classmethod
    def from_proto(cls, signature: SignatureDef) -> "Signature":
        """The signature that a SavedModel states."""
        return cls(
            {name: TensorSpec.from_proto(info) for name, info in sorted(signature.inputs.items())},
            {name: TensorSpec.from_proto(info) for name, info in sorted(signature.outputs.items())},
        )

    def check(self, inputs: Mapping[str, Values]) -> dict[str, np.ndarray]:
        """The inputs as arrays that fit this signature. TensorFlow Serving itself does not check shapes.

        Raises:
            ValueError: A name is missing or unknown; a dtype, rank or fixed dimension differs; rows are 0 or differ.
        """
        if set(inputs) != set(self.inputs):
            raise ValueError(f"Expected inputs {sorted(self.inputs)}. Received: {sorted(inputs)}.")
        arrays = {name: _to_array(name, inputs[name], spec) for name, spec in self.inputs.items()}
        rows = {name: len(array) for name, array in arrays.items() if array.ndim}
        if len(set(rows.values())) > 1:
            raise ValueError(f"Expected as many rows in every input. Received: {rows}.")
        return arrays


def _to_array(name: str, values: Values, spec: TensorSpec) -> np.ndarray:
    array = _string_array(name, values) if spec.dtype == tf.string else _number_array(name, values, spec)
    if array.ndim and not len(array):
        raise ValueError(
            f"Expected a batch of 1 or more rows as input '{name}'. Received: 0 rows, which a server with batching "
            "would not answer at all. Skip the call."
        )
    shape = spec.shape
    if shape is not None and (
        len(shape) != array.ndim
        or any(expected not in (None, size) for expected, size in zip(shape, array.shape, strict=True))
    ):
        raise ValueError(f"Expected {spec} as input '{name}'. Received: shape {list(array.shape)}.")
    return array


def _string_array(name: str, values: Values) -> np.ndarray:
    try:
        array = np.array(values.tolist() if isinstance(values, np.ndarray) else values, dtype=object)
    except ValueError as error:
        raise ValueError(f"Expected rows of one length as input '{name}'. Received: {error}.") from error
    flat = array.ravel()
    for position, value in enumerate(flat):
        if isinstance(value, list | tuple):
            raise ValueError(f"Expected rows of one length as input '{name}'. Received: rows of several. Pad them.")
        if not isinstance(value, str | bytes):
            raise ValueError(f"Expected strings as input '{name}'. Received: {value!r}. Convert it with str().")
        try:
            flat[position] = value.encode() if isinstance(value, str) else value
        except UnicodeEncodeError as error:
            raise ValueError(f"Expected text as input '{name}'. Received: {value!r}, no valid Unicode.") from error
    return flat.reshape(array.shape)


def _number_array(name: str, values: Values, spec: TensorSpec) -> np.ndarray:
    wanted = np.dtype(spec.dtype.as_numpy_dtype)
    if isinstance(values, np.ndarray):
        if values.dtype != wanted:
            raise ValueError(
                f"Expected {spec.dtype.name} as input '{name}'. Received: {values.dtype}. "
                f"Convert it with .astype('{spec.dtype.name}')."
            )
        return values
    try:
        natural = np.array(values)
    except ValueError as error:
        raise ValueError(f"Expected rows of one length as input '{name}'. Received: {error}.") from error
    is_widening = natural.dtype.kind in "iu" and spec.dtype.is_floating
    if natural.size and natural.dtype.kind != wanted.kind and not is_widening and wanted.kind != "V":
        raise ValueError(f"Expected {spec.dtype.name} as input '{name}'. Received: values of dtype {natural.dtype}.")
    return natural.astype(wanted)
