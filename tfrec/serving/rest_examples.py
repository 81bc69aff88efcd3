"""The JSON of classify and regress: `examples` to an Input, results to `results`."""

from typing import Any

import numpy as np
from tensorflow.core.example.example_pb2 import Example
from tensorflow.core.example.feature_pb2 import Feature
from tensorflow_serving.apis.classification_pb2 import ClassificationResult
from tensorflow_serving.apis.input_pb2 import Input
from tensorflow_serving.apis.regression_pb2 import RegressionResult

from tfrec.serving.errors import invalid_argument
from tfrec.serving.rest_json import decode_base64, is_base64, json_type, show, utf8

_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


def read_examples(body: dict[str, Any]) -> Input:
    """The examples of a body, and the context that all of them share.

    Args:
        body: What `rest_json.parse` returned.

    Raises:
        RequestError: INVALID_ARGUMENT, with TensorFlow Serving's text.
    """
    given = Input()
    of = given.example_list
    if "context" in body:
        of = given.example_list_with_context
        of.context.CopyFrom(_example(body["context"]))
    examples = body.get("examples")
    if "examples" not in body:
        problem = "When method is classify, key 'examples' is expected and was not found"
    elif not isinstance(examples, list):
        problem = "Expecting 'examples' value to be an list/array"
    elif not examples:
        problem = "'examples' value is an empty array"
    else:
        of.examples.extend(map(_example, examples))
        return given
    raise invalid_argument(f"JSON Value: {show(body)} {problem}")


def write_result(result: ClassificationResult | RegressionResult) -> dict[str, Any]:
    """Of each example a list of labels with their scores, or a number."""
    if isinstance(result, RegressionResult):
        return {"results": [_decimal(each.value) for each in result.regressions]}
    return {"results": [[[each.label, _decimal(each.score)] for each in of.classes] for of in result.classifications]}


def _decimal(value: float) -> float:
    """The shortest that reads back as the same float32."""
    return float(str(np.float32(value)))


def _example(value: Any) -> Example:
    if not isinstance(value, dict):
        raise invalid_argument(f"Example must be JSON object but got JSON {json_type(value)}")
    example = Example()
    for name, content in value.items():
        feature = Feature()
        for each in content if isinstance(content, list) else [content]:
            _add(each, name, feature)
        example.features.feature[utf8(name).decode()].CopyFrom(feature)
    return example


def _add(value: Any, name: str, feature: Feature) -> None:
    kind, converted = _converted(value, name)
    if feature.WhichOneof("kind") not in (None, kind):
        expected = _KINDS[feature.WhichOneof("kind")]
        raise invalid_argument(f"Unexpected element type in feature: {name} expecting type: {expected}")
    getattr(feature, kind).value.append(converted)


def _converted(value: Any, name: str) -> tuple[str, Any]:
    """The field of a Feature for a value, and the value."""
    if isinstance(value, str):
        return "bytes_list", utf8(value)
    if is_base64(value):
        return "bytes_list", decode_base64(value)
    if isinstance(value, float) or (isinstance(value, int) and not -(2**63) <= value < 2**64):
        with np.errstate(over="ignore"):
            return "float_list", float(np.float32(value))
    if isinstance(value, int):
        if value >= 2**63:
            raise invalid_argument(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
        return "int64_list", int(value)
    raise invalid_argument(f"Feature: {name} has element with unexpected JSON type: {json_type(value)}")
