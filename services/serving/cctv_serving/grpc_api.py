"""tensorflow.serving.PredictionService and ModelService over gRPC, and the standard health service."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

import grpc
from cctv_common.log import Log
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
)

from cctv_serving import api, inference, tensors
from cctv_serving.engine import Engine
from cctv_serving.manager import Manager
from cctv_serving.model import DEFAULT_SIGNATURE, Call, Model
from cctv_serving.monitoring import Monitoring
from cctv_serving.status import ServingError, invalid

_SPARE_THREADS = 4
"""For status requests, which are never made to wait behind predictions."""

_HEALTHY = ("", "ModelService", "PredictionService")


class _Context(Protocol):
    def abort(self, code: grpc.StatusCode, details: str) -> Any: ...
    def time_remaining(self) -> float | None: ...
    def is_active(self) -> bool: ...


_Rpc = Callable[[bytes, _Context], bytes]
"""From a request's bytes, and what is known of its client, to an answer's."""


class Services:
    """The RPCs, each from a request's bytes to an answer's: bytes that are no message are a client's error too."""

    def __init__(
        self,
        manager: Manager[Model],
        engine: Engine,
        monitoring: Monitoring,
        log: Log,
        *,
        as_content: bool = False,
        check_method_name: bool = False,
    ) -> None:
        self._manager = manager
        self._engine = engine
        self._monitoring = monitoring
        self._log = log
        self._as_content = as_content
        self._check_method_name = check_method_name

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """What a gRPC server takes."""
        predictions: dict[str, _Rpc] = {
            "Predict": self._predict,
            "GetModelMetadata": self._metadata,
            "Classify": partial(self._infer, inference.CLASSIFICATION),
            "Regress": partial(self._infer, inference.REGRESSION),
            "MultiInference": self._multi_inference,
        }
        models: dict[str, _Rpc] = {"GetModelStatus": self._status, "HandleReloadConfigRequest": self._reload}
        return [
            grpc.method_handlers_generic_handler(
                f"tensorflow.serving.{service}",
                {name: grpc.unary_unary_rpc_method_handler(self._rpc(name, method)) for name, method in rpcs.items()},
            )
            for service, rpcs in (("PredictionService", predictions), ("ModelService", models))
        ]

    def _rpc(self, name: str, method: _Rpc) -> _Rpc:
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

    @contextmanager
    def _counted(self, spec: model_pb2.ModelSpec, method: str) -> Iterator[None]:
        # Only names of models: a client could make up as many as it likes.
        name = spec.name if self._manager.knows(spec.name) else ""
        began = time.perf_counter()
        status = "INTERNAL"
        try:
            yield
            status = "OK"
        except ServingError as error:
            status = error.code.name
            raise
        finally:
            self._monitoring.requests.labels(name, status).inc()
            if status == "OK":
                latency = (time.perf_counter() - began) * 1e6
                self._monitoring.request_latency.labels(name, method, "GRPC").observe(latency)

    @contextmanager
    def _model(self, message: Any, method: str) -> Iterator[Model]:
        if not message.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        with self._counted(message.model_spec, method), self._manager.use(message.model_spec) as model:
            yield model

    def _run(self, model: Model, method: str, context: _Context) -> inference.Run:
        def run(call: Call) -> list[inference.Array]:
            with self._monitoring.running(model.name, method):
                return self._engine.execute(model, call, context.time_remaining(), context.is_active)

        return run

    def _predict(self, request: bytes, context: _Context) -> bytes:
        with self._engine.admitted("grpc"):
            message = _parse(predict_pb2.PredictRequest, request)
            with self._model(message, "Predict") as model:
                prediction = model.predict(message)
                outputs = prediction.outputs(self._run(model, "Predict", context)(prediction.call))
                response = predict_pb2.PredictResponse()
                response.model_spec.name = model.name
                response.model_spec.version.value = model.version
                response.model_spec.signature_name = message.model_spec.signature_name or DEFAULT_SIGNATURE
                for alias, array in outputs.items():
                    tensors.to_proto(array, response.outputs[alias], self._as_content)
                return _bytes(response)

    def _infer(self, kind: inference.Kind, request: bytes, context: _Context) -> bytes:
        with self._engine.admitted("grpc"):
            message = _parse(kind.request, request)
            with self._model(message, kind.rpc) as model:
                self._monitoring.count_examples(model.name, message.input)
                run = self._run(model, kind.rpc, context)
                return _bytes(inference.infer(model, kind, message, self._check_method_name, run))

    def _multi_inference(self, request: bytes, context: _Context) -> bytes:
        with self._engine.admitted("grpc"):
            message = _parse(inference_pb2.MultiInferenceRequest, request)
            spec = message.tasks[0].model_spec if message.tasks else model_pb2.ModelSpec()
            with self._manager.use(spec) as model:
                self._monitoring.count_examples(model.name, message.input)
                run = self._run(model, "MultiInference", context)
                return _bytes(inference.multi_inference(model, message, self._check_method_name, run))

    def _metadata(self, request: bytes, __: _Context) -> bytes:
        message = _parse(get_model_metadata_pb2.GetModelMetadataRequest, request)
        return _bytes(api.model_metadata(self._manager, message))

    def _status(self, request: bytes, __: _Context) -> bytes:
        message = _parse(get_model_status_pb2.GetModelStatusRequest, request)
        if not message.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        return _bytes(self._manager.status(message.model_spec))

    def _reload(self, request: bytes, __: _Context) -> bytes:
        message = _parse(model_management_pb2.ReloadConfigRequest, request)
        return _bytes(api.reload_config(self._manager, self._monitoring, message, self._log))


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
    credentials: grpc.ServerCredentials | None = None,
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
            bound = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
        except RuntimeError:
            bound = 0
        if not bound:
            why = "the address is in use, or not this machine's"
            if credentials:
                why += ", or the key and the certificate are no pair"
            raise OSError(f"gRPC cannot listen on {address}: {why}")
    return server


def add_health(server: grpc.Server) -> health.HealthServicer:
    """Let ``server`` answer health checks, by the names that TensorFlow Serving gives its services."""
    # A thread waits for each client that watches: not one of those that predict.
    servicer = health.HealthServicer(experimental_non_blocking=True)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    for name in _HEALTHY:
        servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    return servicer
