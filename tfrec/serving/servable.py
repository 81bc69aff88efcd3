"""One loaded version of a model: a SavedModel in a Session of its own, asked by signature."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow.core.protobuf.config_pb2 import CallableOptions
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow.python.framework.ops import dismantle_graph

from tfrec.serving.batch_queue import BatchQueue, Call
from tfrec.serving.batching import Batcher
from tfrec.serving.errors import RequestError, invalid_argument
from tfrec.serving.metrics import Metrics
from tfrec.serving.tensors import decode, dtype_name

logger = logging.getLogger(__name__)

DEFAULT_SIGNATURE = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
_METHOD_NAMES = (
    tf.saved_model.PREDICT_METHOD_NAME,
    tf.saved_model.CLASSIFY_METHOD_NAME,
    tf.saved_model.REGRESS_METHOD_NAME,
)

try:
    import tensorflow_text  # noqa: F401  Registers the tokenizers' ops, which the official server has built in.
except ImportError as error:
    logger.warning(
        "tensorflow_text cannot be imported (%s): a model with a tokenizer inside will not load. "
        "Install it in TensorFlow's version: pip install tensorflow-text",
        error,
    )


class _Endpoint(NamedTuple):
    """A signature, ready to run."""

    signature: SignatureDef
    feeds: list[str]
    """Input names, in the order of their tensor names: the order in which TensorFlow numbers the arguments."""
    fetches: list[str]
    """Output names."""
    run: Callable[..., list[np.ndarray]]
    queue: BatchQueue | None
    """Where its requests wait for their batch; None, each runs by itself."""


class Servable:
    """A version of a model, loaded the way TensorFlow Serving loads it. Thread-safe.

    Args:
        name: The model's name.
        version: The version's number.
        path: The SavedModel's folder.
        batcher: Runs requests in batches; None runs each by itself.
        metrics: Where the time that the graph takes is counted.

    Raises:
        RequestError: The version's batching parameters are wrong.
        OSError, tf.errors.OpError, RuntimeError, ValueError: The folder holds no SavedModel that can be loaded.

    Example:
        >>> servable = Servable("adder", 1, Path("/models/adder/1"))
        >>> servable.predict("serving_default", {"x": np.array([1.0], np.float32)})
        {'y': array([2.], dtype=float32)}
    """

    def __init__(
        self, name: str, version: int, path: Path, batcher: Batcher | None = None, metrics: Metrics | None = None
    ) -> None:
        self.name = name
        self.version = version
        self.path = path
        self._batcher = batcher
        self._metrics = metrics or Metrics()
        self._batching = batcher.parameters_of(path) if batcher else None
        self._endpoints: dict[str, _Endpoint] = {}
        config = tf.compat.v1.ConfigProto()
        config.gpu_options.allow_growth = True  # The laptop's GPU is shared with whatever else runs on it.
        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
        try:
            meta_graph = tf.compat.v1.saved_model.load(self._session, [tf.saved_model.SERVING], str(path))
            self._session.graph.finalize()
            self.signatures: dict[str, SignatureDef] = dict(meta_graph.signature_def)
            for key, signature in self.signatures.items():
                if signature.method_name in _METHOD_NAMES:
                    self._endpoints[key] = self._endpoint(signature)
        except BaseException:
            self.close()
            raise

    def _endpoint(self, signature: SignatureDef) -> _Endpoint:
        feeds = sorted(signature.inputs, key=lambda alias: signature.inputs[alias].name)
        fetches = sorted(signature.outputs)
        options = CallableOptions(
            feed=[signature.inputs[alias].name for alias in feeds],
            fetch=[signature.outputs[alias].name for alias in fetches],
        )
        # The public Session.run casts dtypes and checks shapes first, which TensorFlow Serving does not. This is the
        # C++ call below it; it can feed and fetch nothing but the signature's own tensors.
        run = self._session._make_callable_from_options(options)
        queue = None
        if self._batcher and self._batching:
            queue = self._batcher.queue(self._batching, list(options.feed), run)
        return _Endpoint(signature, feeds, fetches, run, queue)

    def signature(self, key: str) -> SignatureDef:
        """The signature of this name ("" is the default one).

        Raises:
            RequestError: FAILED_PRECONDITION, there is none.
        """
        key = key or DEFAULT_SIGNATURE
        if key not in self.signatures:
            raise RequestError(grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{key}" not found.')
        return self.signatures[key]

    def predict_protos(
        self,
        key: str,
        inputs: Mapping[str, TensorProto],
        output_filter: Iterable[str] = (),
        call: Call | None = None,
    ) -> dict[str, np.ndarray]:
        """`predict` on messages; a malformed one is INVALID_ARGUMENT."""
        arrays = {}
        for alias, proto in inputs.items():
            try:
                arrays[alias] = decode(proto)
            except ValueError as error:
                raise invalid_argument(f"tensor parsing error: {alias}") from error
        return self.predict(key, arrays, output_filter, call)

    def predict(
        self,
        key: str,
        inputs: Mapping[str, np.ndarray],
        output_filter: Iterable[str] = (),
        call: Call | None = None,
        api: str = "Predict",
    ) -> dict[str, np.ndarray]:
        """Runs a signature.

        Args:
            key: The signature's name; "" is `serving_default`.
            inputs: Name -> array. Strings are object arrays of `bytes`. Shapes are not checked.
            output_filter: The outputs to return; none named, all.
            call: Who asks, where it may give up while the request waits for its batch.
            api: What it is counted as.

        Raises:
            RequestError: The request does not fit the signature, or does not get into a batch in time.
            tf.errors.OpError: The graph failed.
        """
        signature = self.signature(key)
        endpoint = self._endpoints.get(key or DEFAULT_SIGNATURE)
        if endpoint is None:
            raise RequestError(
                grpc.StatusCode.INTERNAL,
                "Expected prediction signature method_name to be one of "
                f"{{{', '.join(_METHOD_NAMES)}}}. Was: {signature.method_name}",
            )
        arrays = _complete(signature, inputs)
        wanted = _outputs(signature, output_filter)
        for position, alias in enumerate(endpoint.feeds):
            expected = tf.as_dtype(signature.inputs[alias].dtype)
            received = tf.as_dtype(arrays[alias].dtype)
            if expected != received:
                raise invalid_argument(
                    f"Expects arg[{position}] to be {dtype_name(expected)} but {dtype_name(received)} is provided"
                )
        fed = [arrays[alias] for alias in endpoint.feeds]
        positions = [endpoint.fetches.index(alias) for alias in wanted]
        start = time.perf_counter()
        if endpoint.queue is None:
            everything = endpoint.run(*fed)
            results = [everything[position] for position in positions]
        else:
            results = endpoint.queue.run(fed, positions, call)
        self._metrics.runtime_latency.add((time.perf_counter() - start) * 1e6, self.name, api, "TF1")
        return {alias: _as_array(result) for alias, result in zip(wanted, results, strict=True)}

    def close(self) -> None:
        """Frees the version's memory; nothing may run on it any more."""
        for endpoint in self._endpoints.values():
            if self._batcher and endpoint.queue is not None:
                self._batcher.remove(endpoint.queue)
        self._endpoints = {}
        self._session.close()
        # A graph is made of reference cycles. Python would let the old versions pile up before it looks for them, and
        # a look by gc.collect() would hold up every request.
        dismantle_graph(self._session.graph)


def _as_array(result: np.ndarray | bytes) -> np.ndarray:
    """TensorFlow hands a scalar string over as plain `bytes`."""
    return np.asarray(result, object) if isinstance(result, bytes) else result


def _complete(signature: SignatureDef, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inputs, with the signature's defaults where one is left out. Raises what TensorFlow Serving answers."""
    expected, sent, defaults = set(signature.inputs), set(inputs), set(signature.defaults)
    if len(sent) > len(expected) or (len(sent) < len(expected) and not defaults):
        raise invalid_argument(
            f"input size does not match signature: {len(sent)}!={len(expected)} "
            f"len({_set(sent)}) != len({_set(expected)}). "
            f"Sent extra: {_set(sent - expected)}. Missing but required: {_set(expected - sent)}."
        )
    for alias in sorted(expected - sent - defaults):
        raise invalid_argument(
            f"Signature input alias: {alias}(feed name: {signature.inputs[alias].name}) not found in request and no "
            f"default value provided. Inputs expected to be in the request {_set(sent)}, "
            f"or default input alias set: {','.join(sorted(defaults))}"
        )
    if sent - expected:
        raise invalid_argument(
            f"Inputs contains invalid name. Used request inputs: {','.join(sorted(sent & expected))}, "
            f"request input: {','.join(sorted(sent))}"
        )
    return {alias: decode(signature.defaults[alias]) for alias in expected - sent} | dict(inputs)


def _outputs(signature: SignatureDef, output_filter: Iterable[str]) -> list[str]:
    wanted: list[str] = []
    for alias in output_filter:
        if alias not in signature.outputs:
            raise invalid_argument(
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {_set(signature.outputs)}."
            )
        if alias in wanted:
            raise invalid_argument(f"duplicate output tensor alias: {alias}")
        wanted.append(alias)
    return wanted or sorted(signature.outputs)


def _set(names: Iterable[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"
