"""Between NumPy arrays and TensorProto messages."""

import math

import numpy as np
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto

_FIELDS = {
    tf.float32: "float_val",
    tf.float64: "double_val",
    tf.int8: "int_val",
    tf.int16: "int_val",
    tf.int32: "int_val",
    tf.uint8: "int_val",
    tf.uint16: "int_val",
    tf.int64: "int64_val",
    tf.uint32: "uint32_val",
    tf.uint64: "uint64_val",
    tf.bool: "bool_val",
    tf.string: "string_val",
    tf.float16: "half_val",
    tf.bfloat16: "half_val",
}

_MOST_FILLED_UP = 2**20

_CPP_NAMES = {tf.float16: "half", tf.float32: "float", tf.float64: "double"}


def dtype_name(dtype: tf.DType) -> str:
    """A dtype's name in the messages of TensorFlow's C++ code: `float`, not `float32`."""
    return _CPP_NAMES.get(dtype, dtype.name)


def encode(array: np.ndarray) -> TensorProto:
    """An array as a message with typed fields (`float_val`, `string_val`, …), as TensorFlow Serving writes them.

    Args:
        array: Any shape. Strings are an object array of `bytes`.

    Raises:
        TypeError: TensorProto has no typed field for this dtype.
    """
    dtype = tf.as_dtype(array.dtype)
    if dtype not in _FIELDS:
        raise TypeError(f"Expected a dtype among {sorted(each.name for each in _FIELDS)}. Received: {dtype.name}")
    proto = TensorProto(dtype=dtype.as_datatype_enum, tensor_shape=tf.TensorShape(array.shape).as_proto())
    flat = array.ravel()
    values = flat.view(np.uint16) if _FIELDS[dtype] == "half_val" else flat
    getattr(proto, _FIELDS[dtype]).extend(values.tolist())
    return proto


def decode(proto: TensorProto) -> np.ndarray:
    """A message as an array; strings become an object array of `bytes`.

    Raises:
        ValueError: The message is malformed: more values than the shape holds, a bad shape, an unknown dtype. Or it
            leaves most of a large tensor to be filled up with its last value.
    """
    # Each value takes a byte or more. Without this check 14 bytes could ask for all memory.
    size = math.prod(dim.size for dim in proto.tensor_shape.dim)
    if size > max(_MOST_FILLED_UP, proto.ByteSize()):
        raise ValueError(f"Expected the values of a tensor of {size} elements. Received: {proto.ByteSize()} bytes.")
    try:
        return tf.make_ndarray(proto)
    except (TypeError, ValueError, KeyError, MemoryError) as error:
        raise ValueError(f"Expected a well-formed TensorProto. Received: {error}") from error
