"""Does a written version answer what the live model answers?"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfrec.artifacts.served import Served
from tfrec.artifacts.warmup import read_warmup
from tfrec.errors import ExportError

TOLERANCE = 1e-4
"""Graph optimisation may order additions otherwise; unit vectors' cosines differ by less than this."""

Tensors = Mapping[str, np.ndarray]


def check_reloaded(folder: Path, signatures: Served, examples: Mapping[str, Tensors]) -> None:
    """Compares the live model with the reloaded one, in Python and in a v1 Session, and replays the warm-up.

    Python restores variables by object, a v1 Session, like TensorFlow Serving's C++ loader, by name: an export can
    work in the one and fail in the other.

    Raises:
        ExportError: An answer differs, or a request fails.
    """
    functions = {name: function for name, (function, _) in signatures.endpoints().items()}
    traced = {function: tf.function(function, autograph=False) for function in set(functions.values())}
    live = {
        name: _numpy(traced[functions[name]](**{key: tf.constant(value) for key, value in inputs.items()}))
        for name, inputs in examples.items()
    }
    reloaded = tf.saved_model.load(str(folder))

    def in_python(name: str, inputs: Tensors) -> Tensors:
        return _numpy(reloaded.signatures[name](**{key: tf.constant(value) for key, value in inputs.items()}))

    _compare("in Python", in_python, examples, live)
    warmup = read_warmup(folder)
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        graph = tf.compat.v1.saved_model.load(session, [tf.saved_model.SERVING], str(folder))

        def in_session(name: str, inputs: Tensors) -> Tensors:
            signature = graph.signature_def[name]
            fetches = {key: tensor.name for key, tensor in signature.outputs.items()}
            return session.run(fetches, {signature.inputs[key].name: value for key, value in inputs.items()})

        _compare("through a v1 Session", in_session, examples, live)
        for request in warmup:
            inputs = {key: tf.make_ndarray(tensor) for key, tensor in request.inputs.items()}
            try:
                in_session(request.model_spec.signature_name, inputs)
            except tf.errors.OpError as error:
                raise ExportError(
                    f"A warm-up request of '{request.model_spec.signature_name}' fails: {error}"
                ) from error


def _compare(
    where: str, answer: Callable[[str, Tensors], Tensors], examples: Mapping[str, Tensors], live: Mapping[str, Tensors]
) -> None:
    for name, inputs in examples.items():
        try:
            received = answer(name, inputs)
        except tf.errors.OpError as error:
            raise ExportError(f"Signature '{name}' fails after reload {where}: {error}") from error
        if received.keys() != live[name].keys() or not _alike(live[name], received):
            raise ExportError(
                f"Signature '{name}' answers otherwise after reload {where}: expected {live[name]}, received {received}"
            )


def _alike(expected: Tensors, received: Tensors) -> bool:
    for key, values in expected.items():
        if values.dtype.kind == "f" and not np.allclose(values, received[key], atol=TOLERANCE):
            return False
    if "item_ids" not in expected:
        return True
    # Items whose scores are equal but for rounding may change places.
    scores = expected["scores"]
    gaps = np.abs(np.diff(scores, axis=1, prepend=np.inf, append=-np.inf))
    apart = (gaps[:, :-1] > TOLERANCE) & (gaps[:, 1:] > TOLERANCE)
    return bool(((expected["item_ids"] == received["item_ids"]) | ~apart).all())


def _numpy(tensors: Mapping[str, tf.Tensor]) -> Tensors:
    return {key: tensor.numpy() for key, tensor in tensors.items()}
