"""Inputs that a request may leave out, because the signature has a default for them."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from tfrec.serving.batching_parameters import BatchingParameters
from tfrec.serving.client import Client
from tfrec.serving.config import ModelConfig
from tfrec.serving.server import Server

DEFAULTS = {"words": np.array([["nothing"]], object), "factor": np.array([10.0], np.float32)}


class Counter(tf.Module):
    """y = number * factor, n = how many words there are that are not "", most = the widest row of words."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.float32, name="number"),
            tf.TensorSpec([None, None], tf.string, name="words"),
            tf.TensorSpec([None], tf.float32, name="factor"),
        ]
    )
    def count(self, number: tf.Tensor, words: tf.Tensor, factor: tf.Tensor) -> dict[str, tf.Tensor]:
        there = tf.reduce_sum(tf.cast(words != "", tf.int32), axis=1)
        nothing = tf.zeros(tf.shape(number), tf.int32)
        return {"y": number * factor, "n": there + nothing, "width": tf.shape(words)[1] + nothing}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("counter")
    module = Counter()
    tf.saved_model.save(module, str(folder / "1"), signatures={"serving_default": module.count})
    path = folder / "1" / "saved_model.pb"
    saved_model = SavedModel.FromString(path.read_bytes())
    for name, values in DEFAULTS.items():
        proto = tf.make_tensor_proto(values)
        saved_model.meta_graphs[0].signature_def["serving_default"].defaults[name].CopyFrom(proto)
    path.write_bytes(saved_model.SerializeToString())
    return folder


Asker = Callable[..., grpc.Future]


def asker(server: Server, channel: grpc.Channel) -> Asker:
    with Client(f"127.0.0.1:{server.grpc_port}", "counter") as client:
        client.wait_until_available(30)

    def ask(**inputs: Any) -> grpc.Future:
        request = PredictRequest(model_spec=ModelSpec(name="counter"))
        for name, values in inputs.items():
            array = np.array(values, object if name == "words" else np.float32)
            request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        return PredictionServiceStub(channel).Predict.future(request, timeout=20)

    return ask


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with Server([ModelConfig("counter", folder)], grpc_port=0, rest_api_port=0) as server:
        yield server


@pytest.fixture(scope="module")
def ask(server: Server) -> Iterator[Asker]:
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        yield asker(server, channel)


@pytest.fixture(scope="module")
def ask_in_batches(folder: Path) -> Iterator[Asker]:
    """Batches of two rows, which wait for each other."""
    batching = BatchingParameters(max_batch_size=2, batch_timeout_micros=600_000_000, pad_variable_length_inputs=True)
    with (
        Server([ModelConfig("counter", folder)], grpc_port=0, batching=batching) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        yield asker(server, channel)


def answer(future: grpc.Future, name: str) -> list[float]:
    return tf.make_ndarray(future.result().outputs[name]).tolist()


def refusal(future: grpc.Future) -> str:
    error = future.exception()
    return f"{error.code().name} {error.details()}"


def test_what_is_left_out_has_its_default(ask: Asker) -> None:
    assert answer(ask(number=[1, 2, 3]), "y") == [10, 20, 30]
    assert answer(ask(number=[1, 2, 3]), "n") == [1, 1, 1]
    assert answer(ask(number=[1, 2], factor=[3, 4]), "y") == [3, 8]
    assert answer(ask(number=[1], words=[["a", "", "b"]]), "n") == [2]


def test_texts_of_what_does_not_fit(ask: Asker) -> None:
    missing = refusal(ask(words=[["a"]], factor=[1]))
    assert missing.startswith(
        "INVALID_ARGUMENT Signature input alias: number(feed name: serving_default_number:0) not "
    )
    assert missing.endswith(
        "found in request and no default value provided. Inputs expected to be in the request {factor,words}, "
        "or default input alias set: factor,words"
    )
    assert refusal(ask()).endswith("request {}, or default input alias set: factor,words")
    assert refusal(ask(number=[1], numbers=[2])) == (
        "INVALID_ARGUMENT Inputs contains invalid name. Used request inputs: number, request input: number,numbers"
    )
    assert refusal(ask(number=[1], words=[["a"]], factor=[1], numbers=[2])).startswith(
        "INVALID_ARGUMENT input size does not match signature: 4!=3 len("
    )


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"instances": [{"number": 1.0}]}, " keys must be equal to: factor,number,words"),
        ({"inputs": {"number": [1.0], "factor": [1.0]}}, "Missing named input: words in 'inputs' object."),
    ],
)
def test_rest_has_no_defaults(server: Server, body: dict[str, Any], told: str) -> None:
    url = f"http://127.0.0.1:{server.rest_api_port}/v1/models/counter:predict"
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(url, json.dumps(body).encode(), timeout=20)
    assert error.value.code == 400
    assert json.load(error.value)["error"].endswith(told)


def test_batching_takes_defaults_beside_one_row(ask_in_batches: Asker) -> None:
    together = [ask_in_batches(number=[1]), ask_in_batches(number=[2], words=[["", "a", "b"]], factor=[7])]
    assert [answer(each, "y") for each in together] == [[10], [14]]
    assert [answer(each, "width") for each in together] == [[3], [3]]
    # The default is filled up with itself, as whatever begins a tensor is; what begins with "" is not.
    assert [answer(each, "n") for each in together] == [[3], [2]]


def test_batching_refuses_defaults_beside_more_rows(ask_in_batches: Asker) -> None:
    assert refusal(ask_in_batches(number=[1, 2])) == (
        "INVALID_ARGUMENT Batching Run() input tensors must have equal 0th-dimension size"
    )
    everything = ask_in_batches(number=[1, 2], words=[["a"], ["b"]], factor=[1, 1])
    assert answer(everything, "y") == [1, 2]
