"""Requests that are wrong in every way: the real server's answers, and a server that goes on."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests
from google.protobuf.message import Message
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    regression_pb2,
)

from .conftest import Server, Start

PREDICT = "/tensorflow.serving.PredictionService/Predict"
TRUNCATED = b"\xff\xd8\xff\xe0\0\x10JFIF\0"


@pytest.fixture(autouse=True)
def goes_on(server: Server, coffee: bytes) -> Iterator[None]:
    """After each wrong request a right one is answered, and no traceback was logged."""
    yield
    assert server.predictions.Predict(server.request(coffee), timeout=10).outputs["classes"].int64_val == [968]
    assert server.process.poll() is None
    assert "Traceback" not in server.log()


def refused(call: Any, request: Message | bytes, **options: Any) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as told:
        call(request, timeout=20, **options)
    assert "Traceback" not in told.value.details()
    return told.value


class TestGrpc:
    @pytest.mark.parametrize(
        ("change", "code", "message"),
        [
            (lambda r: r.ClearField("model_spec"), "INVALID_ARGUMENT", "Missing ModelSpec"),
            (lambda r: r.model_spec.ClearField("name"), "INVALID_ARGUMENT", "ModelSpec has no name specified."),
            (
                lambda r: setattr(r.model_spec, "name", "other"),
                "NOT_FOUND",
                "Servable not found for request: Latest(other)",
            ),
            (
                lambda r: setattr(r.model_spec.version, "value", 7),
                "NOT_FOUND",
                "Servable not found for request: Specific(imagenet, 7)",
            ),
            (
                lambda r: setattr(r.model_spec, "version_label", "canary"),
                "INVALID_ARGUMENT",
                "Unrecognized servable version label: canary",
            ),
            (
                lambda r: setattr(r.model_spec, "signature_name", "nope"),
                "FAILED_PRECONDITION",
                'Serving signature key "nope" not found.',
            ),
            (
                lambda r: r.inputs.clear(),
                "INVALID_ARGUMENT",
                "input size does not match signature: 0!=1 len({}) != len({image_bytes}). "
                "Sent extra: {}. Missing but required: {image_bytes}.",
            ),
            (
                lambda r: (r.inputs["images"].CopyFrom(r.inputs["image_bytes"]), r.inputs.pop("image_bytes")),
                "INVALID_ARGUMENT",
                "input tensor alias not found in signature: images. Inputs expected to be in the set {image_bytes}.",
            ),
            (
                lambda r: r.output_filter.append("scores"),
                "INVALID_ARGUMENT",
                "output tensor alias not found in signature: scores",
            ),
            (
                lambda r: r.output_filter.extend(["classes", "classes"]),
                "INVALID_ARGUMENT",
                "duplicate output tensor alias: classes",
            ),
            (
                lambda r: r.inputs["image_bytes"].CopyFrom(type(r.inputs["image_bytes"])(dtype=1, float_val=[1])),
                "INVALID_ARGUMENT",
                "Type mismatch: actual float vs. expect string",
            ),
            (lambda r: r.inputs["image_bytes"].tensor_shape.Clear(), "INVALID_ARGUMENT", ""),
            (
                lambda r: setattr(r.inputs["image_bytes"].tensor_shape.dim[0], "size", -5),
                "INVALID_ARGUMENT",
                "tensor parsing error: image_bytes",
            ),
            (
                lambda r: setattr(r.inputs["image_bytes"].tensor_shape.dim[0], "size", 2**50),
                "INVALID_ARGUMENT",
                "tensor parsing error: image_bytes",
            ),
            (
                lambda r: setattr(r.inputs["image_bytes"], "dtype", 77),
                "INVALID_ARGUMENT",
                "tensor parsing error: image_bytes",
            ),
            (lambda r: setattr(r.inputs["image_bytes"].tensor_shape.dim[0], "size", 0), "INVALID_ARGUMENT", ""),
            (
                lambda r: r.inputs["image_bytes"].string_val.__setitem__(0, b"GIF or whatever"),
                "INVALID_ARGUMENT",
                "Unknown image file format",
            ),
            (lambda r: r.inputs["image_bytes"].string_val.__setitem__(0, b""), "INVALID_ARGUMENT", "Input is empty"),
            (lambda r: r.inputs["image_bytes"].string_val.__setitem__(0, TRUNCATED), "INVALID_ARGUMENT", "JPEG"),
        ],
    )
    def test_wrong_predictions(self, server: Server, coffee: bytes, change: Any, code: str, message: str) -> None:
        request = server.request(coffee)
        change(request)
        error = refused(server.predictions.Predict, request)
        assert (error.code().name, error.details()[: len(message)]) == (code, message) or (
            error.code().name == code and message in error.details()
        )

    @pytest.mark.parametrize("content", [b"\xff\xff\xff\xff", b"\x0a\x7f", b"{}"])
    def test_bytes_that_are_no_message(self, server: Server, content: bytes) -> None:
        for path in (PREDICT, "/tensorflow.serving.ModelService/GetModelStatus"):
            error = refused(server.channel.unary_unary(path), content)
            assert error.code() is grpc.StatusCode.INTERNAL

    def test_other_methods(self, server: Server) -> None:
        classify = classification_pb2.ClassificationRequest()
        classify.model_spec.name = "imagenet"
        error = refused(server.predictions.Classify, classify)
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert error.details().startswith("No classification inputs found in SignatureDef: ")
        regress = regression_pb2.RegressionRequest()
        regress.model_spec.name = "other"
        assert refused(server.predictions.Regress, regress).code() is grpc.StatusCode.NOT_FOUND
        error = refused(server.predictions.MultiInference, inference_pb2.MultiInferenceRequest())
        assert error.details() == "ModelSpec has no name specified."
        reload = refused(server.models.HandleReloadConfigRequest, model_management_pb2.ReloadConfigRequest())
        assert reload.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert reload.details().startswith("ServerModelConfig type not supported by HandleReloadConfigRequest.")
        for path in ("/tensorflow.serving.SessionService/SessionRun", "/grpc.health.v1.Health/Check"):
            assert refused(server.channel.unary_unary(path), b"").code() is grpc.StatusCode.UNIMPLEMENTED

    def test_wrong_questions_about_the_model(self, server: Server) -> None:
        status = get_model_status_pb2.GetModelStatusRequest()
        assert refused(server.models.GetModelStatus, status).details() == "Missing ModelSpec"
        status.model_spec.name = "other"
        error = refused(server.models.GetModelStatus, status)
        assert (error.code(), error.details()) == (
            grpc.StatusCode.NOT_FOUND,
            "Could not find any versions of model other",
        )
        status.model_spec.name = "imagenet"
        status.model_spec.version.value = 3
        assert refused(server.models.GetModelStatus, status).details() == "Could not find version 3 of model imagenet"
        metadata = get_model_metadata_pb2.GetModelMetadataRequest()
        metadata.model_spec.name = "imagenet"
        error = refused(server.predictions.GetModelMetadata, metadata)
        assert error.details() == "GetModelMetadataRequest must specify at least one metadata_field"
        metadata.metadata_field.append("color")
        error = refused(server.predictions.GetModelMetadata, metadata)
        assert error.details() == "Metadata field color is not supported"


class TestRest:
    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (b"", "JSON Parse error: The document is empty"),
            (b"{", "JSON Parse error: Missing a name for object member."),
            (b"\xff\xfe\x00", "JSON Parse error: Invalid value. at offset: 0"),
            (b"[]", "JSON Value: [] Is not object"),
            (b"[" * 100000, "JSON Parse error: Nested too deeply."),
            (b'{"instances": [' + b"[" * 900 + b"]" * 900 + b"]}", "Encountered list at unexpected level"),
            (b'{"instances": [' + b"9" * 100000 + b"]}", "JSON Parse error: Number too big to be stored in double."),
            ({}, "Missing 'inputs' or 'instances' key"),
            ({"instances": []}, "No values in 'instances' array"),
            ({"inputs": []}, ""),
            ({"instances": [1.5]}, "JSON Value: 1.5 Type: Number is not of expected type: string"),
            ({"instances": [{"b64": "no base64!"}]}, "Unable to base64 decode"),
            ({"instances": [["a"], ["b"]]}, ""),
            ({"instances": "abc"}, "Expecting 'instances' to be an list/array"),
            ({"instances": [{"picture": "a"}]}, "JSON object: does not have named input: picture"),
            ({"instances": ["no image"]}, "Unknown image file format"),
            (b'{"instances": ["\xff\xd8\xff"]}', ""),
            ({"instances": [{"b64": base64.b64encode(TRUNCATED).decode()}]}, "JPEG"),
            (
                {"signature_name": "nope", "instances": ["a"]},
                'Serving signature name: "nope" not found in signature def',
            ),
        ],
    )
    def test_wrong_predictions(self, server: Server, body: Any, message: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = requests.post(f"{server.url}:predict", data=content, timeout=20)
        assert answer.status_code == 400
        assert list(answer.json()) == ["error"]
        assert message in answer.json()["error"]
        assert "Traceback" not in answer.text

    @pytest.mark.parametrize(
        ("method", "path", "status", "message"),
        [
            ("GET", "/v1/models/other", 404, "Could not find any versions of model other"),
            ("GET", "/v1/models/imagenet/versions/9", 404, "Could not find version 9 of model imagenet"),
            ("GET", "/v1/models/imagenet/versions/99999999999999999999", 400, "Failed to convert version"),
            ("GET", "/v1/models/other/metadata", 404, "Servable not found for request: Latest(other)"),
            ("GET", "/v1/models", 400, "Missing model name in request."),
            ("GET", "/v1/models/imagenet:predict", 400, "Malformed request: GET /v1/models/imagenet:predict"),
            ("GET", "/v1/models/%ff", 400, "Failed to decode model name"),
            ("POST", "/v1/models/imagenet", 400, "Malformed request: POST /v1/models/imagenet"),
            ("POST", "/v1/models/imagenet:explain", 400, "Malformed request: POST /v1/models/imagenet:explain"),
            ("PUT", "/v1/models/imagenet:predict", 400, "Malformed request: PUT /v1/models/imagenet:predict"),
            ("POST", "/v1/models/other:predict", 404, "Servable not found for request: Latest(other)"),
            (
                "POST",
                "/v1/models/imagenet/versions/9:predict",
                404,
                "Servable not found for request: Specific(imagenet, 9)",
            ),
            (
                "POST",
                "/v1/models/imagenet/labels/canary:predict",
                400,
                "Unrecognized servable version label: canary",
            ),
            (
                "POST",
                "/v1/models/imagenet:classify",
                400,
                "When method is classify, key 'examples' is expected and was not found",
            ),
            ("GET", "/index.html", 404, ""),
        ],
    )
    def test_wrong_paths(self, server: Server, method: str, path: str, status: int, message: str) -> None:
        answer = requests.request(method, server.base + path, data=b'{"instances": ["a"]}', timeout=20)
        assert answer.status_code == status
        assert message in answer.json()["error"]

    def test_no_http_at_all(self, server: Server) -> None:
        host, port = server.base.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 400")


def test_requests_larger_than_allowed(start: Start, imagenet: Path, coffee: bytes) -> None:
    small = start(imagenet, MAX_REQUEST_BYTES="4096")
    for data in (b" " * 5000, iter([b" " * 3000] * 3)):  # told beforehand, and not
        answer = requests.post(f"{small.url}:predict", data=data, timeout=10)
        assert answer.status_code == 413
        assert answer.json() == {"error": "The request's body is larger than 4096 bytes"}
    assert refused(small.predictions.Predict, small.request(coffee)).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert requests.get(small.url, timeout=5).ok
