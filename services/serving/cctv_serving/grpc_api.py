"""tensorflow.serving.PredictionService and ModelService over gRPC."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import grpc
from cctv_common.log import Log
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
    regression_pb2,
)

from cctv_serving import api, tensors
from cctv_serving.engine import Engine
from cctv_serving.model import DEFAULT_SIGNATURE, Model
from cctv_serving.status import ServingError, invalid

_SPARE_THREADS = 4
"""For status requests, which are never made to wait behind predictions."""


class _Context(Protocol):
    def abort(self, code: grpc.StatusCode, details: str) -> Any: ...
    def time_remaining(self) -> float | None: ...
    def is_active(self) -> bool: ...


class Services:
    """The RPCs, each from a request's bytes to an answer's: bytes that are no message are a client's error too."""

    def __init__(self, model: Model, engine: Engine, log: Log, as_content: bool = False) -> None:
        self._model = model
        self._engine = engine
        self._log = log
        self._as_content = as_content

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """What a gRPC server takes."""
        return [
            grpc.method_handlers_generic_handler(
                f"tensorflow.serving.{service}",
                {name: grpc.unary_unary_rpc_method_handler(self._rpc(name, method)) for name, method in rpcs.items()},
            )
            for service, rpcs in (
                (
                    "PredictionService",
                    {
                        "Predict": self._predict,
                        "GetModelMetadata": self._metadata,
                        "Classify": self._classify,
                        "Regress": self._regress,
                        "MultiInference": self._not_implemented,
                    },
                ),
                (
                    "ModelService",
                    {"GetModelStatus": self._status, "HandleReloadConfigRequest": self._not_implemented},
                ),
            )
        ]

    def _rpc(self, name: str, method: Callable[[bytes, _Context], bytes]) -> Callable[[bytes, _Context], bytes]:
        requests = self._engine.metrics.requests

        def call(request: bytes, context: _Context) -> bytes:
            code, message = grpc.StatusCode.OK, ""
            try:
                answer = method(request, context)
            except ServingError as error:
                code, message = error.code, error.message
            except Exception:
                self._log.exception("a request failed", api="grpc", method=name)
                code, message = grpc.StatusCode.INTERNAL, "Internal error; the server's log has more"
            requests.labels("grpc", name, code.name).inc()
            if code is not grpc.StatusCode.OK:
                context.abort(code, message)
            return answer

        return call

    def _predict(self, request: bytes, context: _Context) -> bytes:
        with self._engine.admitted("grpc"):
            message = _parse(predict_pb2.PredictRequest, request)
            if not message.HasField("model_spec"):
                raise invalid("Missing ModelSpec")
            self._model.resolve(message.model_spec)
            work = self._model.predict(message)
            outputs = self._engine.run(work, context.time_remaining(), context.is_active)
            response = predict_pb2.PredictResponse()
            response.model_spec.name = self._model.name
            response.model_spec.version.value = self._model.version
            response.model_spec.signature_name = message.model_spec.signature_name or DEFAULT_SIGNATURE
            for alias, array in outputs.items():
                tensors.to_proto(array, response.outputs[alias], self._as_content)
            return _bytes(response)

    def _metadata(self, request: bytes, __: _Context) -> bytes:
        message = _parse(get_model_metadata_pb2.GetModelMetadataRequest, request)
        return _bytes(api.model_metadata(self._model, message))

    def _status(self, request: bytes, __: _Context) -> bytes:
        message = _parse(get_model_status_pb2.GetModelStatusRequest, request)
        if not message.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        return _bytes(api.model_status(self._model, message.model_spec))

    def _classify(self, request: bytes, __: _Context) -> bytes:
        raise api.refuse(self._model, "classify", _parse(classification_pb2.ClassificationRequest, request))

    def _regress(self, request: bytes, __: _Context) -> bytes:
        raise api.refuse(self._model, "regress", _parse(regression_pb2.RegressionRequest, request))

    def _not_implemented(self, _request: bytes, _context: _Context) -> bytes:
        raise ServingError(grpc.StatusCode.UNIMPLEMENTED, "Not implemented by this server")


def _parse(kind: Any, content: bytes) -> Any:
    try:
        return kind.FromString(content)
    except DecodeError:
        raise ServingError(grpc.StatusCode.INTERNAL, f"Error parsing the request as a {kind.__name__}") from None


def _bytes(message: Any) -> bytes:
    content: bytes = message.SerializeToString()
    return content


def make_server(
    services: Services,
    addresses: Sequence[str],
    *,
    max_in_flight: int,
    max_request_bytes: int,
    channel_arguments: Sequence[tuple[str, int | str]] = (),
) -> grpc.Server:
    """A server bound to all ``addresses``, to be started; raises OSError when one is taken."""
    # Enough threads that a request over the limit is told so at once instead of waiting for a thread.
    threads = 2 * max_in_flight + _SPARE_THREADS
    server = grpc.server(
        ThreadPoolExecutor(threads, thread_name_prefix="grpc"),
        handlers=services.handlers(),
        maximum_concurrent_rpcs=threads,
        options=[
            ("grpc.so_reuseport", 0),  # or a second server would silently share the port
            ("grpc.max_receive_message_length", max_request_bytes),
            ("grpc.max_send_message_length", -1),
            *channel_arguments,
        ],
    )
    for address in addresses:
        try:
            bound = server.add_insecure_port(address)
        except RuntimeError:
            bound = 0
        if not bound:
            raise OSError(f"gRPC cannot listen on {address}: the address is in use, or not this machine's")
    return server
