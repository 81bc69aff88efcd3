"""Predict, GetModelMetadata and GetModelStatus: the answers and every error, over a real port."""

import itertools
from collections.abc import Iterator
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.json_format import ParseDict
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest, SignatureDefMap
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest, ModelVersionStatus
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from tfrec.serving import grpc_services
from tfrec.serving.server import Server

from .conftest import wait_for

X = tf.make_tensor_proto([[1.0, 2.0, 3.0]], tf.float32)


@pytest.fixture(scope="module")
def channel(server: Server) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        yield channel


@pytest.fixture(scope="module")
def predictions(channel: grpc.Channel) -> PredictionServiceStub:
    return PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def models(channel: grpc.Channel) -> ModelServiceStub:
    return ModelServiceStub(channel)


def spec(name: str = "adder", version: int | None = None, **fields: str) -> ModelSpec:
    return ParseDict({"name": name, "version": version, **fields}, ModelSpec())


def request(model_spec: ModelSpec, output_filter: tuple[str, ...] = (), **inputs: object) -> PredictRequest:
    return PredictRequest(model_spec=model_spec, inputs=inputs, output_filter=output_filter)


def test_predict_answers_in_typed_fields_and_fills_in_the_model_spec(predictions: PredictionServiceStub) -> None:
    response = predictions.Predict(request(spec(), x=X), timeout=10)
    assert list(response.outputs["y"].float_val) == [3.0, 4.0, 5.0]
    assert list(response.outputs["s"].float_val) == [6.0]
    assert response.outputs["y"].tensor_content == b""
    assert response.model_spec == spec(version=2, signature_name="serving_default")


def test_predict_asks_the_version_that_is_named(predictions: PredictionServiceStub) -> None:
    response = predictions.Predict(request(spec(version=1), x=X), timeout=10)
    assert list(response.outputs["y"].float_val) == [2.0, 3.0, 4.0]
    assert response.model_spec.version.value == 1


def test_output_filter_leaves_out_the_other_outputs(predictions: PredictionServiceStub) -> None:
    response = predictions.Predict(request(spec(), ("s",), x=X), timeout=10)
    assert set(response.outputs) == {"s"}


def test_every_kind_of_tensor_travels(predictions: PredictionServiceStub) -> None:
    inputs = {
        "long": tf.make_tensor_proto([2**40], tf.int64),
        "flag": tf.make_tensor_proto([True], tf.bool),
        "half": tf.make_tensor_proto([1.5], tf.float16),
    }
    outputs = predictions.Predict(request(spec(signature_name="kinds"), **inputs), timeout=10).outputs
    assert list(outputs["long"].int64_val) == [2**40 + 1]
    assert list(outputs["flag"].bool_val) == [False]
    assert list(outputs["half"].half_val) == [int(np.float16(3.0).view(np.uint16))]


def test_a_wrong_shape_is_not_rejected(predictions: PredictionServiceStub) -> None:
    short = tf.make_tensor_proto([[1.0, 2.0]], tf.float32)
    assert list(predictions.Predict(request(spec(), x=short), timeout=10).outputs["y"].float_val) == [3.0, 4.0]


def test_a_message_above_grpcs_default_limit_is_taken(predictions: PredictionServiceStub) -> None:
    rows = 500_000  # 6 MB, where gRPC's default is 4.
    big = tf.make_tensor_proto(np.ones((rows, 3), np.float32))
    response = predictions.Predict(request(spec(), ("s",), x=big), timeout=30)
    assert response.outputs["s"].tensor_shape.dim[0].size == rows


DOUBLE = tf.make_tensor_proto([[1.0, 2.0, 3.0]], tf.float64)
MALFORMED = tf.make_tensor_proto([1.0, 2.0], tf.float32, shape=[2])
MALFORMED.tensor_shape.dim[0].size = 1


@pytest.mark.parametrize(
    ("bad_request", "code", "message"),
    [
        (request(spec("zzz"), x=X), "NOT_FOUND", "Servable not found for request: Latest(zzz)"),
        (request(spec("zzz", 9), x=X), "NOT_FOUND", "Servable not found for request: Specific(zzz, 9)"),
        (request(spec("adder", 9), x=X), "NOT_FOUND", "Servable not found for request: Specific(adder, 9)"),
        (request(spec(""), x=X), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        (
            request(spec(version_label="nope"), x=X),
            "INVALID_ARGUMENT",
            "Unrecognized servable version label: nope",
        ),
        (
            request(spec(signature_name="nosig"), x=X),
            "FAILED_PRECONDITION",
            'Serving signature key "nosig" not found.',
        ),
        (
            request(spec()),
            "INVALID_ARGUMENT",
            "input size does not match signature: 0!=1 len({}) != len({x}). Sent extra: {}. Missing but required: {x}.",
        ),
        (
            request(spec(), x=X, z=X),
            "INVALID_ARGUMENT",
            "input size does not match signature: 2!=1 len({x,z}) != len({x}). "
            "Sent extra: {z}. Missing but required: {}.",
        ),
        (
            request(spec(), z=X),
            "INVALID_ARGUMENT",
            "Signature input alias: x(feed name: serving_default_x:0) not found in request and no default value "
            "provided. Inputs expected to be in the request {z}, or default input alias set: ",
        ),
        (request(spec(), x=DOUBLE), "INVALID_ARGUMENT", "Expects arg[0] to be float but double is provided"),
        (request(spec(), x=MALFORMED), "INVALID_ARGUMENT", "tensor parsing error: x"),
        (
            request(spec(), ("zz",), x=X),
            "INVALID_ARGUMENT",
            "output tensor alias not found in signature: zz Outputs expected to be in the set {s,y}.",
        ),
        (request(spec(), ("y", "y"), x=X), "INVALID_ARGUMENT", "duplicate output tensor alias: y"),
    ],
)
def test_predict_errors(
    predictions: PredictionServiceStub, bad_request: PredictRequest, code: str, message: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        predictions.Predict(bad_request, timeout=10)
    assert (caught.value.code().name, caught.value.details()) == (code, message)


def test_what_the_graph_raises_keeps_its_code(predictions: PredictionServiceStub) -> None:
    scalar = tf.make_tensor_proto(1.0, tf.float32)
    with pytest.raises(grpc.RpcError) as caught:
        predictions.Predict(request(spec(), x=scalar), timeout=10)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "reduction dimension" in caught.value.details()


def test_a_scalar_string(predictions: PredictionServiceStub) -> None:
    text = tf.make_tensor_proto("é")
    response = predictions.Predict(request(spec(signature_name="echo"), text=text), timeout=10)
    assert tf.make_ndarray(response.outputs["text"]) == "é".encode()


def test_metadata_holds_the_signatures(predictions: PredictionServiceStub) -> None:
    metadata = GetModelMetadataRequest(model_spec=spec(version=1), metadata_field=["signature_def"])
    response = predictions.GetModelMetadata(metadata, timeout=10)
    signatures = SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert {"serving_default", "echo", "kinds", "slow"} <= set(signatures.signature_def)
    assert [d.size for d in signatures.signature_def["serving_default"].inputs["x"].tensor_shape.dim] == [-1, 3]
    assert response.model_spec == spec(version=1)


@pytest.mark.parametrize(
    ("bad_request", "code", "message"),
    [
        (
            {"model_spec": spec()},
            "INVALID_ARGUMENT",
            "GetModelMetadataRequest must specify at least one metadata_field",
        ),
        (
            {"model_spec": spec(), "metadata_field": ["bogus"]},
            "INVALID_ARGUMENT",
            "Metadata field bogus is not supported",
        ),
        ({"metadata_field": ["signature_def"]}, "INVALID_ARGUMENT", "Missing ModelSpec"),
        (
            {"model_spec": spec("zzz"), "metadata_field": ["signature_def"]},
            "NOT_FOUND",
            "Servable not found for request: Latest(zzz)",
        ),
    ],
)
def test_metadata_errors(predictions: PredictionServiceStub, bad_request: dict, code: str, message: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        predictions.GetModelMetadata(GetModelMetadataRequest(**bad_request), timeout=10)
    assert (caught.value.code().name, caught.value.details()) == (code, message)


def test_status_of_all_versions_and_of_one(models: ModelServiceStub) -> None:
    everything = models.GetModelStatus(GetModelStatusRequest(model_spec=spec()), timeout=10).model_version_status
    assert [(each.version, each.state) for each in everything] == [
        (2, ModelVersionStatus.AVAILABLE),
        (1, ModelVersionStatus.AVAILABLE),
    ]
    one = models.GetModelStatus(GetModelStatusRequest(model_spec=spec(version=1)), timeout=10).model_version_status
    assert [each.version for each in one] == [1]
    assert one[0].status.error_code == 0


@pytest.mark.parametrize(
    ("model_spec", "message"),
    [
        (spec(version=7), "Could not find version 7 of model adder"),
        (spec("zz"), "Could not find any versions of model zz"),
    ],
)
def test_status_errors(models: ModelServiceStub, model_spec: ModelSpec, message: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        models.GetModelStatus(GetModelStatusRequest(model_spec=model_spec), timeout=10)
    assert (caught.value.code().name, caught.value.details()) == ("NOT_FOUND", message)


def test_requests_run_side_by_side(predictions: PredictionServiceStub) -> None:
    slow = predictions.Predict.future(
        request(spec(signature_name="slow"), count=tf.make_tensor_proto([300_000], tf.int32)), timeout=60
    )
    wait_for(lambda: slow.running())
    assert list(predictions.Predict(request(spec(), x=X), timeout=10).outputs["s"].float_val) == [6.0]
    assert not slow.done()
    assert list(slow.result().outputs["counted"].int_val) == [300_000]


def test_a_request_that_waited_for_most_of_its_time_is_refused(
    predictions: PredictionServiceStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(0.0, 60.0)  # A minute goes by between the arrival and the thread.
    monkeypatch.setattr(grpc_services, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with pytest.raises(grpc.RpcError) as raised:
        predictions.Predict(request(spec(), x=X), timeout=50)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "overloaded" in raised.value.details()
    assert predictions.Predict(request(spec(), x=X), timeout=500).outputs["y"].float_val
    assert predictions.Predict(request(spec(), x=X)).outputs["y"].float_val


def test_a_few_bytes_do_not_ask_for_a_large_tensor(predictions: PredictionServiceStub) -> None:
    proto = tf.make_tensor_proto([[1.0]])
    proto.tensor_shape.dim[0].size = 2**22
    with pytest.raises(grpc.RpcError) as raised:
        predictions.Predict(request(spec(), x=proto), timeout=30)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert raised.value.details() == "tensor parsing error: x"
    proto.tensor_shape.dim[0].size = 3
    assert predictions.Predict(request(spec(), x=proto), timeout=30).outputs["y"].float_val == [3.0, 3.0, 3.0]
