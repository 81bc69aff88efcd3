"""TensorFlow Serving's configuration files in text format, also of messages that tensorflow-serving-api lacks."""

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from google.protobuf.message import Message

from tfrec.serving.errors import StartError

_Field = descriptor_pb2.FieldDescriptorProto
_INT64 = ".google.protobuf.Int64Value"
_BOOL = ".google.protobuf.BoolValue"
_STRING = ".google.protobuf.StringValue"

# Message -> field -> its number and its type. Types are those of the .proto files that are named.
_FILES: dict[str, dict[str, dict[str, tuple[int, int | str]]]] = {
    "tensorflow_serving/servables/tensorflow/session_bundle_config.proto": {
        "BatchingParameters": {
            "max_batch_size": (1, _INT64),
            "batch_timeout_micros": (2, _INT64),
            "max_enqueued_batches": (3, _INT64),
            "num_batch_threads": (4, _INT64),
            "thread_pool_name": (5, _STRING),
            "allowed_batch_sizes": (6, _Field.TYPE_INT64),
            "pad_variable_length_inputs": (7, _Field.TYPE_BOOL),
            "enable_large_batch_splitting": (8, _BOOL),
            "max_execution_batch_size": (9, _INT64),
        },
    },
    "tensorflow_serving/config/monitoring_config.proto": {
        "PrometheusConfig": {"enable": (1, _Field.TYPE_BOOL), "path": (2, _Field.TYPE_STRING)},
        "MonitoringConfig": {"prometheus_config": (1, ".tensorflow.serving.PrometheusConfig")},
    },
    "tensorflow_serving/config/ssl_config.proto": {
        "SSLConfig": {
            "server_key": (1, _Field.TYPE_STRING),
            "server_cert": (2, _Field.TYPE_STRING),
            "custom_ca": (3, _Field.TYPE_STRING),
            "client_verify": (4, _Field.TYPE_BOOL),
        },
    },
}

_REPEATED = {"allowed_batch_sizes"}


def _classes() -> dict[str, type[Message]]:
    # A pool of its own: should the package ship these files one day, the two do not meet.
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    names = []
    for file, messages in _FILES.items():
        proto = descriptor_pb2.FileDescriptorProto(name=file, package="tensorflow.serving", syntax="proto3")
        proto.dependency.append(wrappers_pb2.DESCRIPTOR.name)
        for name, fields in messages.items():
            names.append(name)
            message = proto.message_type.add(name=name)
            for field, (number, kind) in fields.items():
                added = message.field.add(name=field, number=number, label=_Field.LABEL_OPTIONAL)
                if field in _REPEATED:
                    added.label = _Field.LABEL_REPEATED
                if isinstance(kind, str):
                    added.type, added.type_name = _Field.TYPE_MESSAGE, kind
                else:
                    added.type = kind  # type: ignore[assignment]
        pool.AddSerializedFile(proto.SerializeToString())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tensorflow.serving.{name}"))
        for name in names
    }


_CLASSES = _classes()


def read_text_proto(path: Path, message: Message | str) -> Any:
    """A message out of a file in text format.

    Args:
        path: The file.
        message: An empty one to fill, or the name of one that tensorflow-serving-api lacks.

    Raises:
        StartError: The file cannot be read or parsed.
    """
    empty = _CLASSES[message]() if isinstance(message, str) else message
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), empty)
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        name = empty.DESCRIPTOR.name
        raise StartError(f"Expected a {name} in text format in {path}. Received: {error}") from error
