"""TensorFlow Serving's REST interface: /v1/models/NAME[/versions/V][:predict|/metadata]."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
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
from tensorflow_serving.apis import classification_pb2, get_model_metadata_pb2, model_pb2, regression_pb2

from cctv_serving import api, json_tensor
from cctv_serving.engine import Engine
from cctv_serving.model import Model
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


class RestApi:
    """An ASGI application for one model."""

    def __init__(
        self,
        model: Model,
        engine: Engine,
        workers: Executor,
        log: Log,
        *,
        timeout_s: float = 30.0,
        max_request_bytes: int,
        cors: bool = False,
    ) -> None:
        self._model = model
        self._engine = engine
        self._workers = workers
        self._log = log
        self._timeout_s = timeout_s
        self._max_request_bytes = max_request_bytes
        self._headers = _CORS if cors else {}
        self._buffered = 0

    def app(self, extra: Sequence[BaseRoute] = ()) -> Starlette:
        """The application, with ``extra`` routes of the house before it."""
        return Starlette(routes=[*extra, Route("/{path:path}", endpoint=self)])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        path = scope.get("raw_path", scope["path"].encode()).split(b"?")[0].decode("latin-1")
        method = "other"
        status = 200
        try:
            if not _ANY.fullmatch(path):
                raise ServingError(grpc.StatusCode.NOT_FOUND, "Not Found")
            if request.method == "OPTIONS":
                if not re.search("https?://", request.headers.get("origin", "")):
                    raise ServingError(
                        grpc.StatusCode.FAILED_PRECONDITION, "Origin header is missing in CORS preflight"
                    )
                body, method = b"", "options"
            elif request.method == "POST" and (match := _POST.fullmatch(path)):
                method = match[4].lower()
                content = await self._read(request)
                body = await self._post(method, _spec(match), content, request)
            elif request.method == "GET" and (match := _GET.fullmatch(path)):
                method = "metadata" if match[4] else "status"
                body = self._get(method, _spec(match))
            else:
                raise invalid("Malformed request: ", request.method, " ", path)
        except ServingError as error:
            status, body = error.http_status, _error(error.message)
            code = error.code.name
            if isinstance(error, _TooLarge):
                status = 413
        except ClientDisconnect:
            self._engine.metrics.requests.labels("rest", method, "CANCELLED").inc()
            return
        except asyncio.CancelledError:  # it has not ended within the time for stopping
            status, body, code = 503, _error("The server is stopping"), "UNAVAILABLE"
        except Exception:
            self._log.exception("a request failed", api="rest", method=method)
            status, body, code = 500, _error("Internal error; the server's log has more"), "INTERNAL"
        else:
            code = "OK"
        self._engine.metrics.requests.labels("rest", method, code).inc()
        headers = dict(self._headers)
        if status == 413:
            headers["Connection"] = "close"  # the rest of the body is not read
        await Response(body, status, headers, "application/json")(scope, receive, send)

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

    async def _post(self, method: str, spec: model_pb2.ModelSpec, body: bytes, request: Request) -> bytes:
        if method == "predict":
            deadline = time.monotonic() + self._timeout_s
            # Taken in here and not in a worker, so that a full house says so at once.
            with self._engine.admitted("rest"):
                gone = asyncio.ensure_future(request.receive())  # after the body there is only "disconnected" to come
                try:
                    return await self._in_worker(lambda: self._predict(spec, body, deadline, lambda: not gone.done()))
                finally:
                    gone.cancel()
        return await self._in_worker(lambda: self._refuse(method, spec, body))

    async def _in_worker(self, work: Callable[[], bytes]) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(self._workers, work)

    def _refuse(self, method: str, spec: model_pb2.ModelSpec, body: bytes) -> bytes:
        signature = json_tensor.parse_object(body).get("signature_name")
        if isinstance(signature, str):
            spec.signature_name = signature
        kind = classification_pb2.ClassificationRequest if method == "classify" else regression_pb2.RegressionRequest
        raise api.refuse(self._model, method, kind(model_spec=spec))

    def _predict(self, spec: model_pb2.ModelSpec, body: bytes, deadline: float, wanted: Callable[[], bool]) -> bytes:
        def inputs_of(signature_name: str) -> dict[str, str]:
            self._model.resolve(spec)
            return self._model.inputs_of(signature_name)

        said = json_tensor.parse_predict(body, inputs_of)
        work = self._model.prepare(said.signature_name, said.inputs)
        outputs = self._engine.run(work, deadline - time.monotonic(), wanted)
        return json_tensor.format_predict(outputs, said.format)

    def _get(self, method: str, spec: model_pb2.ModelSpec) -> bytes:
        if not spec.name:
            raise invalid("Missing model name in request.")
        if method == "status":
            return orjson.dumps(_to_dict(api.model_status(self._model, spec)), option=orjson.OPT_INDENT_2)
        request = get_model_metadata_pb2.GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])
        response = api.model_metadata(self._model, request)
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
