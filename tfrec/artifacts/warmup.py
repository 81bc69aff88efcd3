"""The requests with which a server warms a version up before it takes traffic."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

WARMUP = "assets.extra/tf_serving_warmup_requests"
BATCH_SIZES = (1, 8, 32)


def write_warmup(folder: Path, model_name: str, examples: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Writes a record for every signature and batch size.

    Args:
        folder: The version's folder.
        model_name: The name it is served under.
        examples: Signature -> inputs; their rows are repeated to make up the batches.
    """
    with tf.io.TFRecordWriter(str(folder / WARMUP)) as writer:
        for signature, inputs in examples.items():
            for batch_size in BATCH_SIZES:
                request = predict_pb2.PredictRequest()
                request.model_spec.name = model_name
                request.model_spec.signature_name = signature
                for name, values in inputs.items():
                    rows = np.resize(np.arange(len(values)), batch_size)
                    request.inputs[name].CopyFrom(tf.make_tensor_proto(values[rows]))
                log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
                writer.write(log.SerializeToString())


def read_warmup(folder: Path) -> list[predict_pb2.PredictRequest]:
    """The requests that `write_warmup` wrote."""
    records = tf.data.TFRecordDataset(str(folder / WARMUP)).as_numpy_iterator()
    return [prediction_log_pb2.PredictionLog.FromString(record).predict_log.request for record in records]
