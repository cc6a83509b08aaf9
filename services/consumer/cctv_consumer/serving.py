"""TensorFlow Serving's Predict, over gRPC or REST: asked without blocking, answered in a future."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import grpc
import numpy as np
import requests
from ovmsclient.tfs_compat.grpc.tensors import make_ndarray, make_tensor_proto
from ovmsclient.tfs_compat.protos.tensorflow.core.framework.tensor_pb2 import TensorProto
from ovmsclient.tfs_compat.protos.tensorflow.core.framework.types_pb2 import DataType
from ovmsclient.tfs_compat.protos.tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse
from ovmsclient.tfs_compat.protos.tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from cctv_consumer.handlers import Inputs, Outputs
from cctv_consumer.replicas import Replicas
from cctv_consumer.settings import ModelSettings

TIMEOUT = "no answer"
UNAVAILABLE = "unavailable"
REFUSED = "refused"
MISSING = "not served"
BAD_ANSWER = "bad answer"


class ModelError(Exception):
    """A model gave no answer; ``cause`` is short enough for a label, on a metric or a picture."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class Client(Protocol):
    """A way to ask models."""

    def predict(
        self, model: ModelSettings, inputs: Inputs, outputs: Sequence[str], timeout_s: float
    ) -> Future[Outputs]:
        """Ask; the future has the outputs, or ModelError after ``timeout_s`` at the latest."""

    def close(self) -> None:
        """Give up what is under way."""


# Frames are perishable, so a replica that hangs must leave the rotation within a second or two, and one that is back
# must be found as soon. The retry moves a call to another replica when its own dies, within the call's deadline.
CHANNEL_OPTIONS: tuple[tuple[str, Any], ...] = (
    (
        "grpc.service_config",
        json.dumps(
            {
                "loadBalancingConfig": [{"round_robin": {}}],
                "methodConfig": [
                    {
                        "name": [{"service": "tensorflow.serving.PredictionService"}],
                        "retryPolicy": {
                            "maxAttempts": 3,
                            "initialBackoff": "0.01s",
                            "maxBackoff": "0.05s",
                            "backoffMultiplier": 2,
                            # A server that is stopping cancels calls that come after it has said so.
                            "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
                        },
                    }
                ],
            }
        ),
    ),
    ("grpc.keepalive_time_ms", 1000),
    ("grpc.keepalive_timeout_ms", 1000),
    # A keepalive waits for a ping that is under way for another reason, whose own limit is a minute.
    ("grpc.http2.ping_timeout_ms", 1000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    # A replica that goes says so, and the channel asks at once where the others are.
    ("grpc.dns_min_time_between_resolutions_ms", 200),
    ("grpc.enable_http_proxy", 0),
)

_CAUSES = {
    grpc.StatusCode.DEADLINE_EXCEEDED: TIMEOUT,
    grpc.StatusCode.INVALID_ARGUMENT: REFUSED,
    grpc.StatusCode.NOT_FOUND: MISSING,
    grpc.StatusCode.FAILED_PRECONDITION: MISSING,
    grpc.StatusCode.UNIMPLEMENTED: MISSING,
}


class GrpcClient:
    """All replicas behind one channel, which balances, watches and reconnects."""

    def __init__(self, target: str) -> None:
        self._channel = grpc.insecure_channel(target, options=CHANNEL_OPTIONS)
        self._stub = PredictionServiceStub(self._channel)

    def predict(
        self, model: ModelSettings, inputs: Inputs, outputs: Sequence[str], timeout_s: float
    ) -> Future[Outputs]:
        """Ask over gRPC."""
        future: Future[Outputs] = Future()
        call = self._stub.Predict.future(grpc_request(model, inputs, outputs), timeout_s)
        call.add_done_callback(lambda done: _settle(future, lambda: _grpc_outputs(done)))
        return future

    def close(self) -> None:
        """Cancel what is under way."""
        self._channel.close()


def grpc_request(model: ModelSettings, inputs: Inputs, outputs: Sequence[str]) -> PredictRequest:
    """Build the Predict request."""
    request = PredictRequest(output_filter=outputs)
    request.model_spec.name = model.name
    request.model_spec.signature_name = model.signature
    if model.version is not None:
        request.model_spec.version.value = model.version
    for name, values in inputs.items():
        if isinstance(values, np.ndarray):
            request.inputs[name].CopyFrom(make_tensor_proto(values))
        else:  # make_tensor_proto would pass bytes through NumPy, which pads them all to the longest
            tensor: TensorProto = request.inputs[name]
            tensor.dtype = DataType.DT_STRING
            tensor.tensor_shape.dim.add(size=len(values))
            tensor.string_val.extend(values)
    return request


def _grpc_outputs(call: Any) -> Outputs:
    try:
        response: PredictResponse = call.result()
    except (grpc.FutureCancelledError, grpc.FutureTimeoutError) as error:
        raise ModelError(UNAVAILABLE, str(error)) from None
    except grpc.RpcError as error:
        raise ModelError(_CAUSES.get(call.code(), UNAVAILABLE), f"{call.code().name}: {call.details()}") from error
    try:
        return {name: make_ndarray(tensor) for name, tensor in response.outputs.items()}
    except (TypeError, ValueError) as error:
        raise ModelError(BAD_ANSWER, str(error)) from error


_HTTP_CAUSES = {400: REFUSED, 404: MISSING, 412: MISSING, 504: TIMEOUT}


class RestClient:
    """Replicas in turn; a request whose replica fails is tried once more, on the next one."""

    def __init__(self, replicas: Replicas, threads: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._replicas = replicas
        self._clock = clock
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="rest")
        self._local = threading.local()  # a requests.Session is not safe to share between threads

    def predict(
        self, model: ModelSettings, inputs: Inputs, outputs: Sequence[str], timeout_s: float
    ) -> Future[Outputs]:
        """Ask over REST."""
        return self._pool.submit(self._predict, model, inputs, outputs, self._clock() + timeout_s)

    def close(self) -> None:
        """Forget what has not begun; what is under way ends with its timeout."""
        self._replicas.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _predict(self, model: ModelSettings, inputs: Inputs, outputs: Sequence[str], deadline: float) -> Outputs:
        body = json.dumps(
            {"signature_name": model.signature, "inputs": {k: _json_tensor(v) for k, v in inputs.items()}}
        )
        version = "" if model.version is None else f"/versions/{model.version}"
        failure = ModelError(TIMEOUT, "there was no time left to ask")
        for url in self._replicas.in_turn()[:2]:
            left = deadline - self._clock()
            if left <= 0:
                break
            try:
                response = self._session().post(f"{url}/v1/models/{model.name}{version}:predict", body, timeout=left)
                if response.status_code < 500:
                    return _rest_outputs(response, outputs)
                failure = ModelError(_HTTP_CAUSES.get(response.status_code, UNAVAILABLE), _rest_error(response))
            except requests.Timeout as error:
                failure = ModelError(TIMEOUT, str(error))
            except requests.RequestException as error:
                failure = ModelError(UNAVAILABLE, str(error))
            self._replicas.failed(url)
        raise failure

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.trust_env = False  # replicas are neighbours: no proxy, no .netrc read at each request
        return session


def _json_tensor(values: Any) -> Any:
    if isinstance(values, np.ndarray):
        return values.tolist()
    return [{"b64": base64.b64encode(value).decode()} for value in values]


def _rest_outputs(response: requests.Response, outputs: Sequence[str]) -> Outputs:
    if response.status_code != 200:
        raise ModelError(_HTTP_CAUSES.get(response.status_code, UNAVAILABLE), _rest_error(response))
    try:
        said = response.json()["outputs"]
        if not isinstance(said, dict):  # a signature with one output sends it bare
            said = dict.fromkeys(outputs, said)
        return {name: np.asarray(said[name]) for name in outputs if name in said}
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(BAD_ANSWER, repr(error)) from error


def _rest_error(response: requests.Response) -> str:
    return f"HTTP {response.status_code}: {response.text[:200]}"


def _settle(future: Future[Outputs], outputs: Callable[[], Outputs]) -> None:
    try:
        future.set_result(outputs())
    except Exception as error:
        future.set_exception(error)
