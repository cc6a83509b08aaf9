"""Unchanged clients of TensorFlow Serving against the real model."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import requests
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from .conftest import Server, Start

ESPRESSO = 968


@pytest.fixture(scope="module")
def b64(coffee: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(coffee).decode()}


def test_the_model_carries_its_labels(imagenet: Path) -> None:
    labels = json.loads((imagenet / "1" / "assets" / "imagenetLabels.json").read_text(encoding="utf-8"))
    assert len(labels) == 1001
    assert (labels[0], labels[ESPRESSO]) == ("background", "espresso")


class TestGrpc:
    def test_coffee_is_espresso(self, server: Server, coffee: bytes, coffee_png: bytes) -> None:
        answer = server.predictions.Predict(server.request(coffee, coffee_png), timeout=10)
        assert list(answer.outputs["classes"].int64_val) == [ESPRESSO, ESPRESSO]
        probabilities = tf.make_ndarray(answer.outputs["probabilities"])
        assert probabilities.shape == (2, 1001)
        assert probabilities.dtype == np.float32
        assert np.all(probabilities[:, ESPRESSO] > 0.9)
        assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-4)
        assert np.all(probabilities[:, 0] == 0)
        assert (answer.model_spec.name, answer.model_spec.version.value) == ("imagenet", 1)
        assert answer.model_spec.signature_name == "serving_default"

    def test_a_batch_says_of_each_image_what_is_said_of_it_alone(self, server: Server, coffee: bytes) -> None:
        other = tf.io.encode_jpeg(
            tf.random.stateless_uniform([100, 300, 3], (1, 2), 0, 255, tf.int32).numpy().astype(np.uint8)
        ).numpy()
        batch = tf.make_ndarray(
            server.predictions.Predict(server.request(coffee, other, coffee), timeout=10).outputs["probabilities"]
        )
        for row, image in zip(batch, (coffee, other, coffee), strict=True):
            alone = server.predictions.Predict(server.request(image), timeout=10).outputs["probabilities"]
            assert np.allclose(row, tf.make_ndarray(alone)[0], atol=1e-4)

    def test_the_version_may_be_named_and_outputs_chosen(self, server: Server, coffee: bytes) -> None:
        request = server.request(coffee)
        request.model_spec.version.value = 1
        request.output_filter.append("classes")
        assert list(server.predictions.Predict(request, timeout=10).outputs) == ["classes"]

    def test_status(self, server: Server) -> None:
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = "imagenet"
        (status,) = server.models.GetModelStatus(request, timeout=5).model_version_status
        assert (status.version, status.state) == (1, get_model_status_pb2.ModelVersionStatus.AVAILABLE)

    def test_metadata(self, server: Server) -> None:
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = "imagenet"
        signatures = get_model_metadata_pb2.SignatureDefMap()
        server.predictions.GetModelMetadata(request, timeout=5).metadata["signature_def"].Unpack(signatures)
        signature = signatures.signature_def["serving_default"]
        assert list(signature.inputs) == ["image_bytes"]
        assert sorted(signature.outputs) == ["classes", "probabilities"]


class TestRest:
    def test_rows(self, server: Server, b64: dict[str, str]) -> None:
        for instances in ([b64, b64], [{"image_bytes": b64}, {"image_bytes": b64}]):
            answer = requests.post(f"{server.url}:predict", json={"instances": instances}, timeout=10)
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "application/json"
            predictions = answer.json()["predictions"]
            assert [p["classes"] for p in predictions] == [ESPRESSO, ESPRESSO]
            assert predictions[0]["probabilities"][ESPRESSO] > 0.9

    def test_columns(self, server: Server, b64: dict[str, str]) -> None:
        for inputs in ([b64], {"image_bytes": [b64]}):
            body = {"signature_name": "serving_default", "inputs": inputs}
            answer = requests.post(f"{server.url}/versions/1:predict", json=body, timeout=10).json()
            assert answer["outputs"]["classes"] == [ESPRESSO]

    def test_both_protocols_say_the_same(self, server: Server, coffee: bytes, b64: dict[str, str]) -> None:
        rest = requests.post(f"{server.url}:predict", json={"inputs": [b64]}, timeout=10).json()["outputs"]
        over_grpc = server.predictions.Predict(server.request(coffee), timeout=10).outputs["probabilities"]
        assert np.array_equal(np.array(rest["probabilities"], np.float32), tf.make_ndarray(over_grpc))

    def test_status(self, server: Server) -> None:
        expected = [{"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}]
        for url in (server.url, f"{server.url}/versions/1", server.url.replace("imagenet", "%69magenet")):
            assert requests.get(url, timeout=5).json() == {"model_version_status": expected}

    def test_metadata(self, server: Server) -> None:
        said = requests.get(f"{server.url}/metadata", timeout=5).json()
        assert said["model_spec"] == {"name": "imagenet", "signature_name": "", "version": "1"}
        signature = said["metadata"]["signature_def"]["signature_def"]["serving_default"]
        assert signature["inputs"]["image_bytes"]["dtype"] == "DT_STRING"
        assert signature["method_name"] == "tensorflow/serving/predict"

    def test_the_houses_own_pages(self, server: Server) -> None:
        assert requests.get(f"{server.base}/healthz", timeout=5).status_code == 200
        assert requests.get(f"{server.base}/readyz", timeout=5).status_code == 200
        assert "cctv_serving_requests_total" in requests.get(f"{server.base}/metrics", timeout=5).text

    def test_a_browser_of_another_origin(self, imagenet: Path, start: Start) -> None:
        server = start(imagenet, "--rest_api_enable_cors_support")
        answer = requests.options(f"{server.url}:predict", headers={"Origin": "http://page"}, timeout=5)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")
        assert requests.options(f"{server.url}:predict", timeout=5).status_code == 400


def test_ovmsclient(server: Server, coffee: bytes, tmp_path: Path) -> None:
    # In a process of its own: its copies of the messages cannot be loaded beside TensorFlow Serving's.
    image = tmp_path / "coffee.jpg"
    image.write_bytes(coffee)
    script = """if True:
        import sys
        from ovmsclient import make_grpc_client
        client = make_grpc_client(sys.argv[1])
        assert client.get_model_status("imagenet")[1]["state"] == "AVAILABLE"
        assert list(client.get_model_metadata("imagenet")["inputs"]) == ["image_bytes"]
        answer = client.predict({"image_bytes": [open(sys.argv[2], "rb").read()]}, "imagenet")
        print(answer["classes"][0])
    """
    done = subprocess.run(
        [sys.executable, "-c", script, server.target, str(image)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == [str(ESPRESSO)], done.stderr
