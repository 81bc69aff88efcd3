"""Classify, Regress and MultiInference: `tf.train.Example`s in, classes or numbers out.

As TensorFlow Serving without `--enable_signature_method_name_check`: any signature will do that has one input,
`inputs`, and the outputs `classes`, `scores` or both, or `outputs`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf.message import Message
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow_serving.apis.classification_pb2 import ClassificationResult
from tensorflow_serving.apis.inference_pb2 import InferenceTask, MultiInferenceResponse
from tensorflow_serving.apis.input_pb2 import Input
from tensorflow_serving.apis.regression_pb2 import RegressionResult

from tfrec.serving.batch_queue import Call
from tfrec.serving.errors import RequestError, invalid_argument
from tfrec.serving.servable import DEFAULT_SIGNATURE, Servable

INPUTS, CLASSES, SCORES, OUTPUTS = "inputs", "classes", "scores", "outputs"


def classify(servable: Servable, key: str, given: Input, call: Call | None = None) -> ClassificationResult:
    """The classes and scores of each example.

    Args:
        servable: The version.
        key: The signature's name; "" is `serving_default`.
        given: The examples.
        call: Who asks, where it may give up while the request waits for its batch.

    Raises:
        RequestError: The signature does not classify, there is no example, or the outputs are not as they should be.
    """
    return _run(servable, key, _CLASSIFICATION, _serialized(given), call)


def regress(servable: Servable, key: str, given: Input, call: Call | None = None) -> RegressionResult:
    """The number of each example; arguments and errors as of `classify`."""
    return _run(servable, key, _REGRESSION, _serialized(given), call)


def infer(
    servable: Servable, tasks: Sequence[InferenceTask], given: Input, call: Call | None = None
) -> MultiInferenceResponse:
    """Several signatures of one model on the same examples, in the order of the tasks.

    Raises:
        RequestError: The tasks are of several models, name a signature twice, or one of them fails.
    """
    names: set[str] = set()
    for task in tasks:
        if not task.model_spec.name:
            raise invalid_argument("Found ModelSpec with an empty model name.")
        if task.model_spec.name != servable.name:
            raise invalid_argument("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if name in names:
            raise invalid_argument(f"Duplicate evaluation of signature: {name}")
        names.add(name)
        if name not in servable.signatures:
            raise invalid_argument(f"Requested signature not found in model graph: {name}")
        if task.method_name not in _METHODS:
            message = f"Unsupported signature method_name: {task.method_name}"
            raise RequestError(grpc.StatusCode.UNIMPLEMENTED, message)
        _METHODS[task.method_name].outputs_of(servable.signatures[name])
    examples = _serialized(given)
    response = MultiInferenceResponse()
    for task in tasks:
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        method = _METHODS[task.method_name]
        result = response.results.add()
        getattr(result, method.field).CopyFrom(_run(servable, name, method, examples, call))
        result.model_spec.name, result.model_spec.signature_name = servable.name, name
        result.model_spec.version.value = servable.version
    return response


class _Method(NamedTuple):
    api: str
    """In the metrics."""
    field: str
    """Of an InferenceResult."""
    outputs_of: Callable[[SignatureDef], list[str]]
    """The outputs that a signature is asked for; raises if it is none for this method."""
    result_of: Callable[..., Message]
    """The outputs, by name, and the number of examples -> the result."""


def _run(servable: Servable, key: str, method: _Method, examples: np.ndarray, call: Call | None) -> Message:
    name = key or DEFAULT_SIGNATURE
    if name not in servable.signatures:
        raise invalid_argument(f"No signature was found with the name: {name}")
    outputs = method.outputs_of(servable.signatures[name])
    arrays = servable.predict(name, {INPUTS: examples}, outputs, call, method.api)
    return method.result_of(arrays, len(examples))


def _serialized(given: Input) -> np.ndarray:
    """The examples as strings, object [num_examples]; those with a context begin with it, which merges both."""
    if given.HasField("example_list_with_context"):
        context = given.example_list_with_context.context.SerializeToString()
        examples = given.example_list_with_context.examples
    else:
        context, examples = b"", given.example_list.examples
    if not examples:
        raise invalid_argument("Input is empty.")
    return np.array([context + example.SerializeToString() for example in examples], object)


def _classification_outputs(signature: SignatureDef) -> list[str]:
    _require_one_input(signature, "classification")
    if len(signature.outputs) not in (1, 2):
        raise invalid_argument(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    outputs = [name for name in (CLASSES, SCORES) if name in signature.outputs]
    if not outputs:
        raise invalid_argument(
            f'Expected classification signature outputs to contain at least one of "{CLASSES}" or "{SCORES}". '
            f"Signature was: {signature}"
        )
    return outputs


def _regression_outputs(signature: SignatureDef) -> list[str]:
    if len(signature.inputs) == 1 and len(signature.outputs) != 1:
        raise invalid_argument("Expected one output Tensor.")
    _require_one_input(signature, "regression")
    if OUTPUTS not in signature.outputs:
        raise invalid_argument(f"No regression outputs found in SignatureDef: {signature}")
    return [OUTPUTS]


def _require_one_input(signature: SignatureDef, method: str) -> None:
    if len(signature.inputs) != 1:
        raise invalid_argument("Expected one input Tensor.")
    if INPUTS not in signature.inputs:
        raise invalid_argument(f"No {method} inputs found in SignatureDef: {signature}")


def _classification(arrays: dict[str, np.ndarray], num_examples: int) -> ClassificationResult:
    classes, scores = arrays.get(CLASSES), arrays.get(SCORES)
    for name, array, dtype in ((CLASSES, classes, tf.string), (SCORES, scores, tf.float32)):
        if array is None:
            continue
        if array.ndim != 2:
            raise invalid_argument(f"Expected Tensor shape: [batch_size num_classes] but got {_shape(array)}")
        if tf.as_dtype(array.dtype) != dtype:
            raise invalid_argument(f"Expected {name} Tensor of {_type(dtype)}. Got: {_type(array.dtype)}")
        if len(array) != num_examples:
            raise invalid_argument(f"Expected {name} output batch size of {num_examples}. Got: {len(array)}")
    if classes is not None and scores is not None and classes.shape[1] != scores.shape[1]:
        raise invalid_argument(
            f"Tensors class and score should match in dim_size(1). Got {classes.shape[1]} vs. {scores.shape[1]}"
        )
    result = ClassificationResult()
    num_classes = next(array.shape[1] for array in (classes, scores) if array is not None)
    for row in range(num_examples):
        found = result.classifications.add()
        for column in range(num_classes):
            label = b"" if classes is None else classes[row, column]
            try:
                found.classes.add(label=label.decode(), score=0.0 if scores is None else scores[row, column])
            except UnicodeDecodeError as error:
                message = f"Expected class labels in UTF-8. Received: {label!r}"
                raise RequestError(grpc.StatusCode.INTERNAL, message) from error
    return result


def _regression(arrays: dict[str, np.ndarray], num_examples: int) -> RegressionResult:
    numbers = arrays[OUTPUTS]
    if not (numbers.ndim == 1 or (numbers.ndim == 2 and numbers.shape[1] == 1)):
        raise invalid_argument(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {_shape(numbers)}"
        )
    if len(numbers) != num_examples:
        raise invalid_argument(f"Input batch size did not match output batch size: {num_examples} vs. {len(numbers)}")
    if numbers.dtype != np.float32:
        raise invalid_argument(f"Expected output Tensor of DT_FLOAT.  Got: {_type(numbers.dtype)}")
    result = RegressionResult()
    for number in numbers.ravel().tolist():
        result.regressions.add(value=number)
    return result


def _shape(array: np.ndarray) -> str:
    return f"[{','.join(map(str, array.shape))}]"


def _type(dtype: np.dtype | tf.DType) -> str:
    return str(types_pb2.DataType.Name(tf.as_dtype(dtype).as_datatype_enum))


_CLASSIFICATION = _Method("Classify", "classification_result", _classification_outputs, _classification)
_REGRESSION = _Method("Regress", "regression_result", _regression_outputs, _regression)
_METHODS = {
    tf.saved_model.CLASSIFY_METHOD_NAME: _CLASSIFICATION,
    tf.saved_model.REGRESS_METHOD_NAME: _REGRESSION,
}
