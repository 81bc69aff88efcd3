"""Asks a served recommender with nothing but `pip install tensorflow-serving-api`.

python client.py 50 181            # what to show next to someone who had items 50 and 181
python client.py --target host:8500 --model movies 50 181
"""

import argparse

import grpc
import tensorflow as tf
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest, SignatureDefMap
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

SECONDS = 10.0
WIDTH_IF_FREE = 64


def recommend(stub: PredictionServiceStub, model: str, history: list[str]) -> list[tuple[str, float]]:
    """The recommended items of one user, best first, each with its score."""
    spec = ModelSpec(name=model, signature_name="serving_default")
    metadata = stub.GetModelMetadata(
        GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"]), timeout=SECONDS
    )
    signatures = SignatureDefMap()
    metadata.metadata["signature_def"].Unpack(signatures)

    request = PredictRequest(model_spec=spec)
    for name, info in signatures.signature_def["serving_default"].inputs.items():
        # TensorFlow Serving does not check shapes: the row must have the width that the signature states.
        shape = [1] + [
            dimension.size if dimension.size > 0 else WIDTH_IF_FREE for dimension in info.tensor_shape.dim[1:]
        ]
        dtype = tf.dtypes.as_dtype(info.dtype)
        unknown: object = "" if dtype == tf.string else 0 if dtype.is_integer else float("nan")
        if name == "history_item_ids":
            kept = history[-shape[1] :]
            row = [kept + [""] * (shape[1] - len(kept))]
            request.inputs[name].CopyFrom(tf.make_tensor_proto(row, shape=shape))
        else:
            request.inputs[name].CopyFrom(tf.make_tensor_proto(tf.fill(shape, tf.constant(unknown, dtype)).numpy()))
    outputs = stub.Predict(request, timeout=SECONDS).outputs
    item_ids = tf.make_ndarray(outputs["item_ids"])[0]
    scores = tf.make_ndarray(outputs["scores"])[0]
    return [(item.decode(), float(score)) for item, score in zip(item_ids, scores, strict=True) if item]


def main() -> None:
    """Parses the command line and prints an item a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("history", nargs="*", help="item ids, oldest first")
    parser.add_argument("--target", default="127.0.0.1:8500", help="host:port of gRPC")
    parser.add_argument("--model", default="movies", help="the model's name")
    arguments = parser.parse_args()
    # gRPC's default receive limit is 4 MB.
    with grpc.insecure_channel(arguments.target, options=[("grpc.max_receive_message_length", -1)]) as channel:
        try:
            items = recommend(PredictionServiceStub(channel), arguments.model, arguments.history)
        except grpc.RpcError as error:
            raise SystemExit(f"{arguments.target} answered {error.code().name}: {error.details()}") from error
    for item, score in items:
        print(f"{score:9.4f}  {item}")


if __name__ == "__main__":
    main()
