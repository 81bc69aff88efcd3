"""The JSON of the REST API: `instances` or `inputs` to arrays, arrays to `predictions` or `outputs`."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import TensorInfo

from tfrec.serving.errors import RequestError, invalid_argument
from tfrec.serving.tensors import dtype_name

_JSON_TYPES = {type(None): "Null", dict: "Object", list: "Array", str: "String", int: "Number", float: "Number"}

_MOST_DIMENSIONS = 32

# Up to here every integer has a float of its own.
_LARGEST_INTEGERS = {tf.float32: 2**24 - 1, tf.float64: 2**53 - 1}


def parse(text: bytes) -> dict[str, Any]:
    """The JSON object of a request body.

    Raises:
        RequestError: INVALID_ARGUMENT, it is no JSON object.
    """
    if not text:
        raise invalid_argument("JSON Parse error: The document is empty")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise invalid_argument(f"JSON Parse error: {error}") from error
    if not isinstance(body, dict):
        raise invalid_argument(f"JSON Value: {show(body)} Is not object")
    return body


def signature_name(body: dict[str, Any]) -> str:
    """The signature that a body asks for; "" for the default one.

    Raises:
        RequestError: INVALID_ARGUMENT, it is no string.
    """
    name = body.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid_argument(
            f"JSON Value: {show(body)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return name


def read_inputs(body: dict[str, Any], infos: Mapping[str, TensorInfo]) -> dict[str, np.ndarray]:
    """The arrays of a body, in row format (`instances`) or columnar format (`inputs`).

    Args:
        body: What `parse` returned.
        infos: The signature's inputs.

    Raises:
        RequestError: INVALID_ARGUMENT, with TensorFlow Serving's text.
    """
    if "instances" in body and "inputs" in body:
        raise invalid_argument(
            f"JSON Value: {show(body)} Not formatted correctly expecting only one of 'inputs' or 'instances' "
            "keys to exist "
        )
    if "inputs" in body:
        return _read_columns(body["inputs"], infos)
    if "instances" not in body:
        raise invalid_argument("Missing 'inputs' or 'instances' key")
    instances = body["instances"]
    if not isinstance(instances, list):
        raise invalid_argument(f"JSON Value: {show(body)} Excepting 'instances' to be an list/array")
    if not instances:
        raise invalid_argument(f"JSON Value: {show(body)} No values in 'instances' array")
    return _read_rows(instances, infos)


def write_outputs(body: dict[str, Any], outputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The answer to a body, in the format that the body came in.

    Args:
        body: The request.
        outputs: Name -> array.

    Raises:
        RequestError: INVALID_ARGUMENT, rows were asked for and the outputs do not share a batch dimension.
    """
    if "inputs" in body:
        columns = {name: _to_json(name, array) for name, array in outputs.items()}
        return {"outputs": columns if len(columns) > 1 else next(iter(columns.values()))}
    size = -1
    for name, array in outputs.items():
        if array.ndim == 0:
            raise invalid_argument(f"Tensor name: {name} has no shape information ")
        if size not in (-1, len(array)):
            raise invalid_argument(f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {size}")
        size = len(array)
    names = list(outputs)
    rows = zip(*(_to_json(name, outputs[name]) for name in names), strict=True)
    if len(names) > 1:
        return {"predictions": [dict(zip(names, row, strict=True)) for row in rows]}
    return {"predictions": [row[0] for row in rows]}


def _read_rows(instances: list[Any], infos: Mapping[str, TensorInfo]) -> dict[str, np.ndarray]:
    if not isinstance(instances[0], dict) and len(infos) > 1:
        raise invalid_argument(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    are_objects = _is_object(instances[0])
    rows: dict[str, list[np.ndarray]] = {name: [] for name in infos}
    for position, instance in enumerate(instances):
        if are_objects != _is_object(instance):
            expected, received = ("object", "list") if are_objects else ("value/list", "object")
            raise invalid_argument(f"Expecting {expected} but got {received} at item {position} of input list")
        named = instance if are_objects else {next(iter(infos)): instance}
        for name, value in named.items():
            try:
                _add_row(rows, name, value, infos)
            except RequestError as error:
                key = f" key: {name}" if are_objects else ""
                raise invalid_argument(
                    f"Failed to process element: {position}{key} of 'instances' list. Error: {error}"
                ) from error
        if set(named) != set(infos):
            raise invalid_argument(
                f"Failed to process element: {position} of 'instances' list. JSON object: {show(instance)} "
                f"keys must be equal to: {','.join(sorted(infos))}"
            )
    return {name: np.stack(arrays) for name, arrays in rows.items()}


def _add_row(rows: dict[str, list[np.ndarray]], name: str, value: Any, infos: Mapping[str, TensorInfo]) -> None:
    if name not in infos:
        raise invalid_argument(f"JSON object: does not have named input: {name}")
    array = _read_tensor(value, tf.as_dtype(infos[name].dtype))
    first = rows[name][0] if rows[name] else array
    if first.size != array.size:
        raise invalid_argument(f"Expecting tensor size: {first.size} but got: {array.size}")
    if first.shape != array.shape:
        raise invalid_argument(f"Expecting shape {list(first.shape)} but got: {list(array.shape)}")
    rows[name].append(array)


def _read_columns(inputs: Any, infos: Mapping[str, TensorInfo]) -> dict[str, np.ndarray]:
    if not _is_object(inputs):
        if len(infos) > 1:
            raise invalid_argument(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        inputs = {next(iter(infos)): inputs}
    arrays = {}
    for name, info in infos.items():
        if name not in inputs:
            raise invalid_argument(f"Missing named input: {name} in 'inputs' object.")
        arrays[name] = _read_tensor(inputs[name], tf.as_dtype(info.dtype))
    return arrays


def _read_tensor(value: Any, dtype: tf.DType) -> np.ndarray:
    shape: list[int] = []
    inner = value
    while isinstance(inner, list):
        shape.append(len(inner))
        inner = inner[0] if inner else None
    if len(shape) > _MOST_DIMENSIONS:
        raise invalid_argument(f"Encountered list at unexpected level: {len(shape)} expected < {_MOST_DIMENSIONS}")
    flat: list[Any] = []
    _flatten(value, 0, shape, dtype, flat)
    return np.array(flat, dtype.as_numpy_dtype).reshape(shape)


def _flatten(value: Any, level: int, shape: list[int], dtype: tf.DType, flat: list[Any]) -> None:
    rank = len(shape)
    if not isinstance(value, list):
        if level != rank:
            raise invalid_argument(
                f"JSON Value: {show(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {rank}"
            )
        flat.append(_read_value(value, dtype))
        return
    if level >= rank:
        raise invalid_argument(f"Encountered list at unexpected level: {level} expected < {rank}")
    if len(value) != shape[level]:
        raise invalid_argument(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    for element in value:
        _flatten(element, level + 1, shape, dtype, flat)


def _read_value(value: Any, dtype: tf.DType) -> Any:
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    if dtype == tf.string:
        if isinstance(value, str):
            return utf8(value)
        if isinstance(value, dict):
            return decode_base64(value)
    elif dtype == tf.bool:
        if isinstance(value, bool):
            return value
    elif dtype in _LARGEST_INTEGERS:
        if is_integer or isinstance(value, float):
            return _read_float(value, dtype)
    elif dtype.is_integer:
        if is_integer and dtype.min <= value <= dtype.max:
            return value
    else:
        message = f"Conversion of JSON Value: {show(value)} to type: {dtype_name(dtype)}"
        raise RequestError(grpc.StatusCode.UNIMPLEMENTED, message)
    expected = dtype_name(dtype)
    raise invalid_argument(f"JSON Value: {show(value)} Type: {json_type(value)} is not of expected type: {expected}")


def _read_float(value: int | float, dtype: tf.DType) -> int | float:
    is_lossless = (
        abs(value) <= _LARGEST_INTEGERS[dtype]
        if isinstance(value, int)
        else not np.isfinite(value) or abs(value) <= float(dtype.max)
    )
    if not is_lossless:
        raise invalid_argument(
            f"Cannot convert JSON value: {show(value)} to {dtype_name(dtype)} without loss of precision."
        )
    return value


def decode_base64(value: dict[str, Any]) -> bytes:
    """The bytes of `{"b64": "…"}`."""
    if not is_base64(value):
        raise invalid_argument(f"JSON Value: {show(value)} not formatted correctly for base64 data")
    text = value["b64"].rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid_argument("Unable to base64 decode") from error


def utf8(text: str) -> bytes:
    """The bytes of a string."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise invalid_argument("JSON Parse error: The surrogate pair in string is invalid.") from error


def is_base64(value: Any) -> bool:
    """Whether it is `{"b64": "…"}`."""
    return isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def _to_json(name: str, array: np.ndarray) -> Any:
    if array.dtype == object:
        to_json = _bytes_to_json if name.endswith("_bytes") else _text_to_json
        return np.frompyfunc(to_json, 1, 1)(array).tolist() if array.ndim else to_json(array.item())
    if tf.as_dtype(array.dtype).is_floating and array.dtype != np.float64:
        # The shortest text that reads back as the same float32: 0.2, not 0.20000000298023224.
        return array.astype(np.float32).astype(str).astype(np.float64).tolist()
    return array.tolist()


def _text_to_json(value: bytes) -> str:
    return value.decode(errors="replace")


def _bytes_to_json(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode()}


def json_type(value: Any) -> str:
    """A value's type in TensorFlow Serving's messages."""
    return str(value) if isinstance(value, bool) else _JSON_TYPES[type(value)]


def show(value: Any) -> str:
    """A value in TensorFlow Serving's messages."""
    return json.dumps(value, indent=4, ensure_ascii=False)
