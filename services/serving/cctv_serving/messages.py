"""TensorFlow Serving's configuration files: protocol buffers in text form.

The package of its stubs lacks some of the messages; they are declared here, field by field.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import (  # type: ignore[import-untyped]
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)

_FIELD = descriptor_pb2.FieldDescriptorProto
_INT64 = f".{wrappers_pb2.Int64Value.DESCRIPTOR.full_name}"
_BOOL = f".{wrappers_pb2.BoolValue.DESCRIPTOR.full_name}"
_STRING = f".{wrappers_pb2.StringValue.DESCRIPTOR.full_name}"

_MESSAGES: dict[str, dict[str, tuple[int, int | str]]] = {
    "BatchingParameters": {
        "max_batch_size": (1, _INT64),
        "batch_timeout_micros": (2, _INT64),
        "max_enqueued_batches": (3, _INT64),
        "num_batch_threads": (4, _INT64),
        "thread_pool_name": (5, _STRING),
        "allowed_batch_sizes": (6, _FIELD.TYPE_INT64),
        "pad_variable_length_inputs": (7, _FIELD.TYPE_BOOL),
        "enable_large_batch_splitting": (8, _BOOL),
        "max_execution_batch_size": (9, _INT64),
    },
    "PrometheusConfig": {"enable": (1, _FIELD.TYPE_BOOL), "path": (2, _FIELD.TYPE_STRING)},
    "MonitoringConfig": {"prometheus_config": (1, ".tensorflow.serving.PrometheusConfig")},
    "SSLConfig": {
        "server_key": (1, _FIELD.TYPE_STRING),
        "server_cert": (2, _FIELD.TYPE_STRING),
        "custom_ca": (3, _FIELD.TYPE_STRING),
        "client_verify": (4, _FIELD.TYPE_BOOL),
    },
}
_REPEATED = ("allowed_batch_sizes",)


class WrongFile(Exception):
    """A configuration file that cannot be read, in one line."""


def _declare() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="cctv_serving/messages.proto",
        package="tensorflow.serving",
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            label = _FIELD.LABEL_REPEATED if field in _REPEATED else _FIELD.LABEL_OPTIONAL
            if isinstance(kind, str):
                message.field.add(name=field, number=number, label=label, type=_FIELD.TYPE_MESSAGE, type_name=kind)
            else:
                message.field.add(name=field, number=number, label=label, type=kind)
    # In a pool of its own: elsewhere in this process the same messages may come from a package.
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tensorflow.serving.{name}"))
        for name in _MESSAGES
    }


_CLASSES = _declare()
BatchingParameters: Any = _CLASSES["BatchingParameters"]
MonitoringConfig: Any = _CLASSES["MonitoringConfig"]
SSLConfig: Any = _CLASSES["SSLConfig"]


def read(path: Path, kind: Any) -> Any:
    """Read the message of class ``kind`` that the file holds; raises WrongFile."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise WrongFile(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise WrongFile(f"{path} is no text: expected a {kind.DESCRIPTOR.name} as text") from None
    try:
        return text_format.Parse(text, kind())
    except text_format.ParseError as error:
        reason = " ".join(str(error).split())
        raise WrongFile(f"{path}: Error parsing text-format {kind.DESCRIPTOR.full_name}: {reason}") from None
