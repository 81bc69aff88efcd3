"""Classify, Regress and MultiInference, over gRPC and REST; messages are those of TensorFlow Serving's sources."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest
from tensorflow_serving.apis.inference_pb2 import InferenceTask, MultiInferenceRequest
from tensorflow_serving.apis.input_pb2 import Input
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub
from tensorflow_serving.apis.regression_pb2 import RegressionRequest

from tfrec.serving.servable import Servable
from tfrec.serving.server import Server
from tfrec.serving.warmup import RECORDS, warm_up

from .conftest import publish
from .test_rest import ask

CLASSIFY, REGRESS = tf.saved_model.CLASSIFY_METHOD_NAME, tf.saved_model.REGRESS_METHOD_NAME


def example(*numbers: float) -> tf.train.Example:
    feature = tf.train.Feature(float_list=tf.train.FloatList(value=numbers))
    return tf.train.Example(features=tf.train.Features(feature={"x": feature} if numbers else {}))


def examples(*rows: tf.train.Example, context: tf.train.Example | None = None) -> Input:
    given = Input()
    of = given.example_list
    if context is not None:
        of = given.example_list_with_context
        of.context.CopyFrom(context)
    of.examples.extend(rows)
    return given


TWO = examples(example(1, 2), example(5))


def spec(signature_name: str, name: str = "judge") -> ModelSpec:
    return ModelSpec(name=name, signature_name=signature_name)


@pytest.fixture(scope="module")
def predictions(server: Server) -> Iterator[PredictionServiceStub]:
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        yield PredictionServiceStub(channel)


def test_classify(predictions: PredictionServiceStub) -> None:
    response = predictions.Classify(ClassificationRequest(model_spec=spec("classify"), input=TWO), timeout=10)
    found = [[(each.label, each.score) for each in of.classes] for of in response.result.classifications]
    assert found == [[("few", -3.0), ("many", 3.0)], [("few", -5.0), ("many", 5.0)]]
    assert (response.model_spec.name, response.model_spec.signature_name) == ("judge", "classify")
    assert response.model_spec.version.value == 1


def test_classify_without_classes(predictions: PredictionServiceStub) -> None:
    response = predictions.Classify(ClassificationRequest(model_spec=spec("scores"), input=TWO), timeout=10)
    found = [[(each.label, each.score) for each in of.classes] for of in response.result.classifications]
    assert found == [[("", 3.0)], [("", 5.0)]]


def test_a_context_is_part_of_each_example(predictions: PredictionServiceStub) -> None:
    given = examples(example(), example(), context=example(7))
    response = predictions.Regress(RegressionRequest(model_spec=spec("regress"), input=given), timeout=10)
    assert [each.value for each in response.result.regressions] == [7.0, 7.0]


def test_several_tasks(predictions: PredictionServiceStub) -> None:
    tasks = [
        InferenceTask(model_spec=spec("regress"), method_name=REGRESS),
        InferenceTask(model_spec=spec("scores"), method_name=CLASSIFY),
    ]
    response = predictions.MultiInference(MultiInferenceRequest(tasks=tasks, input=TWO), timeout=10)
    first, second = response.results
    assert [each.value for each in first.regression_result.regressions] == [3.0, 5.0]
    assert [of.classes[0].score for of in second.classification_result.classifications] == [3.0, 5.0]
    assert [each.model_spec.signature_name for each in response.results] == ["regress", "scores"]
    assert {each.model_spec.version.value for each in response.results} == {1}


@pytest.mark.parametrize(
    ("signature_name", "given", "message"),
    [
        ("nosig", TWO, "No signature was found with the name: nosig"),
        ("", TWO, "No signature was found with the name: serving_default"),
        ("classify", Input(), "Input is empty."),
        ("regress", TWO, "Expected classification signature outputs to contain at least one of "),
        ("flat", TWO, "Expected Tensor shape: [batch_size num_classes] but got [2]"),
    ],
)
def test_what_does_not_classify(
    predictions: PredictionServiceStub, signature_name: str, given: Input, message: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        predictions.Classify(ClassificationRequest(model_spec=spec(signature_name), input=given), timeout=10)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details().startswith(message)


@pytest.mark.parametrize(
    ("model_spec", "code", "message"),
    [
        (None, "INVALID_ARGUMENT", "Missing ModelSpec"),
        (ModelSpec(), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        (ModelSpec(name="zz"), "NOT_FOUND", "Servable not found for request: Latest(zz)"),
        (spec("classify"), "INVALID_ARGUMENT", "Expected one output Tensor."),
        (spec("scores"), "INVALID_ARGUMENT", "No regression outputs found in SignatureDef: "),
        (spec("serving_default", "movies"), "INVALID_ARGUMENT", "Expected one input Tensor."),
        (spec("search", "movies"), "INVALID_ARGUMENT", "Expected one output Tensor."),
        (spec("embed_item", "movies"), "INVALID_ARGUMENT", "No regression inputs found in SignatureDef: "),
        (
            spec("wide"),
            "INVALID_ARGUMENT",
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [2,2]",
        ),
        (spec("whole"), "INVALID_ARGUMENT", "Expected output Tensor of DT_FLOAT.  Got: DT_INT32"),
    ],
)
def test_what_does_not_regress(
    predictions: PredictionServiceStub, model_spec: ModelSpec | None, code: str, message: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        predictions.Regress(RegressionRequest(model_spec=model_spec, input=TWO), timeout=10)
    assert caught.value.code().name == code
    assert caught.value.details().startswith(message)


@pytest.mark.parametrize(
    ("tasks", "code", "message"),
    [
        ([], "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        ([("judge", "regress", REGRESS)] * 2, "INVALID_ARGUMENT", "Duplicate evaluation of signature: regress"),
        (
            [("judge", "regress", REGRESS), ("movies", "search", REGRESS)],
            "INVALID_ARGUMENT",
            "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
        ),
        (
            [("judge", "regress", REGRESS), ("", "scores", REGRESS)],
            "INVALID_ARGUMENT",
            "Found ModelSpec with an empty model name.",
        ),
        ([("judge", "zz", REGRESS)], "INVALID_ARGUMENT", "Requested signature not found in model graph: zz"),
        ([("judge", "regress", "guess")], "UNIMPLEMENTED", "Unsupported signature method_name: guess"),
    ],
)
def test_tasks_that_cannot_be_done(
    predictions: PredictionServiceStub, tasks: list[tuple[str, str, str]], code: str, message: str
) -> None:
    request = MultiInferenceRequest(
        tasks=[InferenceTask(model_spec=spec(key, name), method_name=method) for name, key, method in tasks], input=TWO
    )
    with pytest.raises(grpc.RpcError) as caught:
        predictions.MultiInference(request, timeout=10)
    assert (caught.value.code().name, caught.value.details()) == (code, message)


def test_rest(server: Server) -> None:
    body: dict[str, Any] = {"signature_name": "classify", "examples": [{"x": [1.5, 2.0]}, {"x": 5.0}]}
    found = {"results": [[["few", -3.5], ["many", 3.5]], [["few", -5.0], ["many", 5.0]]]}
    assert ask(server, "POST", "/v1/models/judge:classify", body) == (200, found)
    body = {"signature_name": "regress", "context": {"x": [0.1]}, "examples": [{}, {"y": ["a", {"b64": "eA=="}]}]}
    assert ask(server, "POST", "/v1/models/judge/versions/1:regress", body) == (200, {"results": [0.1, 0.1]})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "When method is classify, key 'examples' is expected and was not found"),
        ({"examples": 3}, "Expecting 'examples' value to be an list/array"),
        ({"examples": []}, "'examples' value is an empty array"),
        ({"examples": [3]}, "Example must be JSON object but got JSON Number"),
        ({"examples": [{}], "context": []}, "Example must be JSON object but got JSON Array"),
        ({"examples": [{"x": None}]}, "Feature: x has element with unexpected JSON type: Null"),
        ({"examples": [{"x": [[1]]}]}, "Feature: x has element with unexpected JSON type: Array"),
        ({"examples": [{"x": [{"b65": ""}]}]}, "Feature: x has element with unexpected JSON type: Object"),
        ({"examples": [{"x": [1.0, 1]}]}, "Unexpected element type in feature: x expecting type: float"),
        ({"examples": [{"x": [True, "a"]}]}, "Unexpected element type in feature: x expecting type: int64"),
        ({"examples": [{"x": 2**63}]}, "Feature: x has uint64_t element. Only int64_t is supported."),
        ({"examples": [{"\ud800": 1}]}, "surrogate pair"),
        ({"examples": [{"x": 1.0}]}, "No signature was found with the name: serving_default"),
    ],
)
def test_rest_errors(server: Server, body: dict[str, Any], message: str) -> None:
    status, answer = ask(server, "POST", "/v1/models/judge:regress", body)
    assert status == 400
    assert message in answer["error"]


def test_warm_up_replays_them(exports: Path, tmp_path: Path) -> None:
    publish(exports / "judge" / "1", tmp_path / "1")
    logs = [PredictionLog() for _ in range(3)]
    logs[0].classify_log.request.CopyFrom(ClassificationRequest(model_spec=spec("classify"), input=TWO))
    logs[1].regress_log.request.CopyFrom(RegressionRequest(model_spec=spec("regress"), input=TWO))
    task = InferenceTask(model_spec=spec("scores"), method_name=CLASSIFY)
    logs[2].multi_inference_log.request.CopyFrom(MultiInferenceRequest(tasks=[task], input=TWO))
    records = tmp_path / "1" / RECORDS
    records.parent.mkdir(exist_ok=True)
    counted = []
    servable = Servable("judge", 1, tmp_path / "1")
    predict = servable.predict
    servable.predict = lambda *arguments: counted.append(arguments[-1]) or predict(*arguments)  # type: ignore[method-assign]
    with tf.io.TFRecordWriter(str(records)) as writer:
        for log in logs:
            writer.write(log.SerializeToString())
    warm_up(servable)
    assert counted == ["Classify", "Regress", "Classify"]
    servable.close()
