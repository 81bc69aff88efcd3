"""Replaying a version's recorded requests before it serves its first real one."""

import logging
import time

import grpc
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from tfrec.serving.errors import RequestError, invalid_argument
from tfrec.serving.inference import classify, infer, regress
from tfrec.serving.servable import Servable

logger = logging.getLogger(__name__)

RECORDS = "assets.extra/tf_serving_warmup_requests"
"""Where a version keeps its requests: a TFRecord of PredictionLog."""

MOST_RECORDS = 1000


def warm_up(servable: Servable) -> None:
    """Runs every recorded request of a version; a version without records is left as it is.

    Raises:
        RequestError: A record is no PredictionLog, does not fit its signature, or is one of too many.
        tf.errors.OpError: The file is corrupt, or the graph failed on a record.
    """
    path = servable.path / RECORDS
    if not path.exists():
        logger.info(
            "%s version %d has no warm-up records: its first requests are slow", servable.name, servable.version
        )
        return
    start = time.perf_counter()
    count = 0
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        count += 1
        if count > MOST_RECORDS:
            raise invalid_argument(f"Number of warmup records exceeds the maximum ({MOST_RECORDS}) at {path}")
        try:
            _replay(servable, PredictionLog.FromString(record))
        except DecodeError as error:
            raise invalid_argument(f"Failed to parse warmup record {count} from {path}") from error
    logger.info(
        "%s version %d warmed up with %d records in %.1f s",
        servable.name,
        servable.version,
        count,
        time.perf_counter() - start,
    )


def _replay(servable: Servable, log: PredictionLog) -> None:
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        request = log.predict_log.request
        servable.predict_protos(request.model_spec.signature_name, request.inputs, request.output_filter)
    elif kind == "classify_log":
        classification = log.classify_log.request
        classify(servable, classification.model_spec.signature_name, classification.input)
    elif kind == "regress_log":
        regression = log.regress_log.request
        regress(servable, regression.model_spec.signature_name, regression.input)
    elif kind == "multi_inference_log":
        infer(servable, log.multi_inference_log.request.tasks, log.multi_inference_log.request.input)
    else:
        raise RequestError(grpc.StatusCode.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind}")
