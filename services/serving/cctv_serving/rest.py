"""TensorFlow Serving's REST interface: /v1/models/NAME[/versions/V|/labels/L][:predict|:classify|/metadata], ..."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import unquote_to_bytes

import grpc
import orjson
from cctv_common.log import Log
from google.protobuf import json_format  # type: ignore[import-untyped]
from google.protobuf.message import Message  # type: ignore[import-untyped]
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send
from tensorflow_serving.apis import get_model_metadata_pb2, model_pb2

from cctv_serving import api, inference, json_examples, json_tensor
from cctv_serving.engine import Engine
from cctv_serving.manager import Manager
from cctv_serving.model import Call, Model
from cctv_serving.monitoring import Monitoring
from cctv_serving.status import ServingError, invalid

_MODEL = r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?"
_POST = re.compile(_MODEL + ":(classify|regress|predict)", re.IGNORECASE)
_GET = re.compile(r"/v1/models(?:/([^/:]+))?(?:/versions/(\d+)|/labels/([^/:]+))?(?:/(metadata))?", re.IGNORECASE)
_ANY = re.compile(r"/v1/.*", re.IGNORECASE | re.DOTALL)
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}
_BODIES_AT_ONCE = 4
"""Bodies of the largest size that may be in memory while they arrive."""


@dataclass
class _Asked:
    """What a request is about, as far as is known."""

    method: str = "other"
    spec: model_pb2.ModelSpec = field(default_factory=model_pb2.ModelSpec)


@dataclass(frozen=True)
class _Waiting:
    """How long a client waits, and whether it still does."""

    deadline: float
    wanted: Callable[[], bool]


class RestApi:
    """An ASGI application for the models."""

    def __init__(
        self,
        manager: Manager[Model],
        engine: Engine,
        monitoring: Monitoring,
        workers: Executor,
        log: Log,
        *,
        timeout_s: float = 30.0,
        max_request_bytes: int,
        cors: bool = False,
        check_method_name: bool = False,
    ) -> None:
        self._manager = manager
        self._engine = engine
        self._monitoring = monitoring
        self._check_method_name = check_method_name
        self._workers = workers
        self._log = log
        self._timeout_s = timeout_s
        self._max_request_bytes = max_request_bytes
        self._headers = _CORS if cors else {}
        self._buffered = 0
        self._work: dict[str, Callable[[model_pb2.ModelSpec, bytes, _Waiting], bytes]] = {
            "predict": self._predict,
            "classify": partial(self._infer, inference.CLASSIFICATION, json_examples.format_classes),
            "regress": partial(self._infer, inference.REGRESSION, json_examples.format_values),
        }

    def app(self, extra: Sequence[BaseRoute] = ()) -> Starlette:
        """The application, with ``extra`` routes of the house before it."""
        return Starlette(routes=[*extra, Route("/{path:path}", endpoint=self)])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        path = scope.get("raw_path", scope["path"].encode()).split(b"?")[0].decode("latin-1")
        asked = _Asked()
        status, code = 200, "OK"
        began = time.perf_counter()
        try:
            body = await self._answer(request, path, asked)
        except ServingError as error:
            status, body = error.http_status, _error(error.message)
            code = error.code.name
            if isinstance(error, _TooLarge):
                status = 413
        except ClientDisconnect:
            self._count(asked, "CANCELLED", began)
            return
        except asyncio.CancelledError:  # it has not ended within the time for stopping
            status, body, code = 503, _error("The server is stopping"), "UNAVAILABLE"
        except Exception:
            self._log.exception("a request failed", api="rest", method=asked.method)
            status, body, code = 500, _error("Internal error; the server's log has more"), "INTERNAL"
        self._count(asked, code, began)
        headers = dict(self._headers)
        if status == 413:
            headers["Connection"] = "close"  # the rest of the body is not read
        await Response(body, status, headers, "application/json")(scope, receive, send)

    async def _answer(self, request: Request, path: str, asked: _Asked) -> bytes:
        if not _ANY.fullmatch(path):
            raise ServingError(grpc.StatusCode.NOT_FOUND, "Not Found")
        if request.method == "OPTIONS":
            if not re.search("https?://", request.headers.get("origin", "")):
                raise ServingError(grpc.StatusCode.FAILED_PRECONDITION, "Origin header is missing in CORS preflight")
            asked.method = "options"
            return b""
        if request.method == "POST" and (match := _POST.fullmatch(path)):
            asked.method = match[4].lower()
            content = await self._read(request)
            asked.spec = _spec(match)
            return await self._post(asked, content, request)
        if request.method == "GET" and (match := _GET.fullmatch(path)):
            asked.method = "metadata" if match[4] else "status"
            asked.spec = _spec(match)
            return self._get(asked)
        raise invalid("Malformed request: ", request.method, " ", path)

    def _count(self, asked: _Asked, code: str, began: float) -> None:
        self._engine.metrics.requests.labels("rest", asked.method, code).inc()
        # Only names of models: a client could make up as many as it likes.
        name = asked.spec.name if self._manager.knows(asked.spec.name) else ""
        self._monitoring.requests.labels(name, code).inc()
        if code == "OK":
            method = asked.method if asked.method in self._work else ""
            latency = (time.perf_counter() - began) * 1e6
            self._monitoring.request_latency.labels(name, method, "REST").observe(latency)

    async def _read(self, request: Request) -> bytes:
        limit = self._max_request_bytes
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            raise _TooLarge(limit)
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._timeout_s):
                async for chunk in request.stream():
                    size += len(chunk)
                    self._buffered += len(chunk)
                    if size > limit:
                        raise _TooLarge(limit)
                    if self._buffered > _BODIES_AT_ONCE * limit:
                        raise ServingError(grpc.StatusCode.RESOURCE_EXHAUSTED, "Too many large requests; try later")
                    chunks.append(chunk)
        except TimeoutError:
            raise ServingError(grpc.StatusCode.DEADLINE_EXCEEDED, "The request's body did not arrive in time") from None
        finally:
            self._buffered -= size
        return b"".join(chunks)

    async def _post(self, asked: _Asked, body: bytes, request: Request) -> bytes:
        deadline = time.monotonic() + self._timeout_s
        # Taken in here and not in a worker, so that a full house says so at once.
        with self._engine.admitted("rest"):
            gone = asyncio.ensure_future(request.receive())  # after the body there is only "disconnected" to come
            try:
                work = self._work[asked.method]
                return await asyncio.get_running_loop().run_in_executor(
                    self._workers, lambda: work(asked.spec, body, _Waiting(deadline, lambda: not gone.done()))
                )
            finally:
                gone.cancel()

    def _predict(self, spec: model_pb2.ModelSpec, body: bytes, waiting: _Waiting) -> bytes:
        with ExitStack() as held:
            model: Model | None = None

            def inputs_of(signature_name: str) -> dict[str, str]:
                nonlocal model
                model = held.enter_context(self._manager.use(spec))
                return model.inputs_of(signature_name)

            said = json_tensor.parse_predict(body, inputs_of)
            assert model is not None
            prediction = model.prepare(said.signature_name, said.inputs)
            outputs = prediction.outputs(self._run(model, "Predict", waiting)(prediction.call))
        return json_tensor.format_predict(outputs, said.format)

    def _infer(
        self,
        kind: inference.Kind,
        formatted: Callable[[Any], bytes],
        spec: model_pb2.ModelSpec,
        body: bytes,
        waiting: _Waiting,
    ) -> bytes:
        spec.signature_name, said = json_examples.parse(body)
        request = kind.request(model_spec=spec, input=said)
        with self._manager.use(spec) as model:
            self._monitoring.count_examples(model.name, said)
            run = self._run(model, kind.rpc, waiting)
            response = inference.infer(model, kind, request, self._check_method_name, run)
        return formatted(response.result)

    def _run(self, model: Model, method: str, waiting: _Waiting) -> inference.Run:
        def run(call: Call) -> list[inference.Array]:
            with self._monitoring.running(model.name, method):
                return self._engine.execute(model, call, waiting.deadline - time.monotonic(), waiting.wanted)

        return run

    def _get(self, asked: _Asked) -> bytes:
        spec = asked.spec
        if not spec.name:
            raise invalid("Missing model name in request.")
        if asked.method == "status":
            return orjson.dumps(_to_dict(self._manager.status(spec)), option=orjson.OPT_INDENT_2)
        request = get_model_metadata_pb2.GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])
        response = api.model_metadata(self._manager, request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        said = {
            "model_spec": _to_dict(response.model_spec, True),
            "metadata": {"signature_def": _to_dict(signatures, True)},
        }
        return orjson.dumps(said, option=orjson.OPT_INDENT_2)


class _TooLarge(ServingError):
    def __init__(self, limit: int) -> None:
        super().__init__(grpc.StatusCode.RESOURCE_EXHAUSTED, f"The request's body is larger than {limit} bytes")


def _spec(match: re.Match[str]) -> model_pb2.ModelSpec:
    name, version, label, __ = match.groups()
    spec = model_pb2.ModelSpec(name=_unquote("model name", name or ""))
    if version:
        number = int(version) if len(version) < 20 else 2**63
        if number >= 2**63:
            raise invalid("Failed to convert version: ", version[:64], " to numeric.")
        spec.version.value = number
    elif label:
        spec.version_label = _unquote("model version label", label)
    return spec


def _unquote(what: str, text: str) -> str:
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise invalid(f"Failed to decode {what}:", text) from None


def _error(message: str) -> bytes:
    return orjson.dumps({"error": message.encode("utf-8", "replace").decode()})


def _to_dict(message: Message, original_names: bool = False) -> dict[str, Any]:
    said: dict[str, Any] = json_format.MessageToDict(
        message, always_print_fields_with_no_presence=True, preserving_proto_field_name=original_names
    )
    return said
