"""Several models and versions at once, by a file and by the reload RPC; new versions under load."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
import requests
import serving_models
import tensorflow as tf
from cctv_serving import messages
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from google.protobuf import text_format
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)
from waiting import until

from .conftest import Server, Start

FILE = """
model_config_list {
  config {
    name: "half_plus_two"
    base_path: "%(folder)s/half_plus_two"
    model_platform: "tensorflow"
    model_version_policy { specific { versions: 1 versions: 2 } }
    version_labels { key: "stable" value: 1 }
    version_labels { key: "canary" value: 2 }
  }
  config { name: "half_plus_three" base_path: "%(folder)s/half_plus_three" model_platform: "tensorflow" }
}
"""


def put(folder: Path, model: Path) -> None:
    folder.parent.mkdir(exist_ok=True)
    folder.symlink_to(model)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models that answer x / 2 plus the number that names their folder."""
    folder = tmp_path_factory.mktemp("exported")
    for offset in (1, 2, 3):
        serving_models.half_plus_two(folder / str(offset), offset)
    return folder


def predict(server: Server, name: str, x: float) -> float:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.inputs["x"].CopyFrom(tf.make_tensor_proto([[x]], tf.float32))
    (y,) = server.predictions.Predict(request, timeout=20).outputs["y"].float_val
    return float(y)


class Client(threading.Thread):
    """Asks all the time what zero gives, which is the number of the version."""

    def __init__(self, ask: Callable[[], float]) -> None:
        super().__init__(daemon=True)
        self._ask = ask
        self._told = threading.Event()
        self.answers: list[float] = []
        self.failures: list[str] = []

    def run(self) -> None:
        while not self._told.wait(0.005):
            try:
                self.answers.append(self._ask())
            except Exception as error:
                self.failures.append(repr(error))

    def stop(self) -> None:
        self._told.set()
        self.join(30)


class TestHotReload:
    def test_new_versions_take_over_without_a_failed_request(
        self, start: Start, exported: Path, tmp_path: Path
    ) -> None:
        put(tmp_path / "half" / "1", exported / "1")
        server = start(tmp_path / "half", model="half")
        session = requests.Session()

        def over_rest() -> float:
            answer = session.post(f"{server.url}:predict", json={"instances": [[0.0]]}, timeout=20)
            answer.raise_for_status()
            return float(answer.json()["predictions"][0][0])

        clients = [Client(lambda: predict(server, "half", 0)) for __ in range(3)] + [Client(over_rest)]
        for client in clients:
            client.start()
        try:
            for version in (2, 3):
                until(
                    "answer of the version before to each",
                    lambda: all(version - 1 in client.answers for client in clients),  # noqa: B023
                )
                put(tmp_path / "half" / str(version), exported / str(version))
            until("answer of the newest to each", lambda: all(3 in client.answers for client in clients))
            until("end of the older ones", lambda: states(server.url) == {"3": "AVAILABLE", "2": "END", "1": "END"})
            (tmp_path / "half" / "3").unlink()  # and back, as one does with a version that is no good
            until("way back for each", lambda: all(client.answers[-1] == 2 for client in clients))
            until("end of the newest", lambda: states(server.url)["3"] == "END")
        finally:
            for client in clients:
                client.stop()
        assert [client.failures for client in clients] == [[]] * len(clients)
        for client in clients:
            changes = [a for a, b in zip([0.0, *client.answers], client.answers, strict=False) if a != b]
            assert [*changes[1:], client.answers[-1]] == [1, 2, 3, 2]
        assert "Traceback" not in server.log()


def states(url: str) -> dict[str, str]:
    said = requests.get(url, timeout=5).json()["model_version_status"]
    return {each["version"]: each["state"] for each in said}


@pytest.fixture(scope="module")
def several(
    start_module: Start, exported: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Path]]:
    """A server of the models of a file, with health checks and TensorFlow Serving's metrics."""
    folder = tmp_path_factory.mktemp("several")
    for version in (1, 2, 3):
        put(folder / "half_plus_two" / str(version), exported / str(version))
        put(folder / "half_plus_three" / str(version), exported / str(version))
    (folder / "models.config").write_text(FILE % {"folder": folder})
    (folder / "monitoring.config").write_text("prometheus_config { enable: true }")
    yield (
        start_module(
            None,
            f"--model_config_file={folder}/models.config",
            "--allow_version_labels_for_unavailable_models",
            "--enable_grpc_healthcheck_service",
            f"--monitoring_config_file={folder}/monitoring.config",
            model="half_plus_two",
        ),
        folder,
    )


class TestSeveralModels:
    def test_versions_and_labels(self, several: tuple[Server, Path]) -> None:
        server, __ = several
        body = {"instances": [[0.0]]}
        for path, expected in (
            ("", 2),
            ("/versions/1", 1),
            ("/versions/2", 2),
            ("/labels/stable", 1),
            ("/labels/canary", 2),
        ):
            answer = requests.post(f"{server.url}{path}:predict", json=body, timeout=20)
            assert answer.json() == {"predictions": [[expected]]}, path
            said = requests.get(f"{server.url}{path}/metadata", timeout=5).json()
            assert said["model_spec"]["version"] == str(expected)
        assert states(server.url) == {"2": "AVAILABLE", "1": "AVAILABLE"}
        assert predict(server, "half_plus_three", 4) == 5
        for path, status, message in (
            ("/labels/beta", 400, "Unrecognized servable version label: beta"),
            ("/versions/3", 404, "Servable not found for request: Specific(half_plus_two, 3)"),
        ):
            answer = requests.post(f"{server.url}{path}:predict", json=body, timeout=20)
            assert (answer.status_code, answer.json()) == (status, {"error": message})

    def test_a_label_over_grpc(self, several: tuple[Server, Path]) -> None:
        server, __ = several
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "half_plus_two"
        request.model_spec.version_label = "stable"
        request.inputs["x"].CopyFrom(tf.make_tensor_proto([[0.0]]))
        answer = server.predictions.Predict(request, timeout=20)
        assert (answer.model_spec.version.value, answer.outputs["y"].float_val) == (1, [1])
        metadata = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        metadata.model_spec.CopyFrom(request.model_spec)
        assert server.predictions.GetModelMetadata(metadata, timeout=5).model_spec.version.value == 1

    def test_classify_and_regress(self, several: tuple[Server, Path]) -> None:
        server, __ = several
        # The request of TensorFlow Serving's documentation of its REST interface.
        body = {"signature_name": "regress_x_to_y", "examples": [{"x": 1.0}, {"x": 2.0}]}
        assert requests.post(f"{server.url}:regress", json=body, timeout=20).json() == {"results": [2.5, 3.0]}
        body["signature_name"] = "classify_x_to_y"
        answer = requests.post(f"{server.url}/labels/stable:classify", json=body, timeout=20)
        assert answer.json() == {"results": [[["1.500000", 1.5]], [["2.000000", 2.0]]]}
        wrong = requests.post(f"{server.url}:regress", json={"examples": [{"x": 1.0}]}, timeout=20)
        assert wrong.status_code == 400
        assert wrong.json()["error"].startswith("No regression inputs found in SignatureDef: ")

        regress = regression_pb2.RegressionRequest()
        regress.model_spec.name = "half_plus_two"
        regress.model_spec.signature_name = "regress_x_to_y"
        regress.input.example_list.examples.add().features.feature["x"].float_list.value.append(6)
        assert server.predictions.Regress(regress, timeout=20).result.regressions[0].value == 5
        classify = classification_pb2.ClassificationRequest(input=regress.input)
        classify.model_spec.name = "half_plus_two"
        classify.model_spec.signature_name = "classify_x_to_y"
        (classes,) = server.predictions.Classify(classify, timeout=20).result.classifications
        assert [(one.label, one.score) for one in classes.classes] == [("5.000000", 5)]
        several_tasks = inference_pb2.MultiInferenceRequest(input=regress.input)
        for spec, method in ((regress.model_spec, "regress"), (classify.model_spec, "classify")):
            several_tasks.tasks.add(model_spec=spec, method_name=f"tensorflow/serving/{method}")
        first, second = server.predictions.MultiInference(several_tasks, timeout=20).results
        assert first.regression_result.regressions[0].value == 5
        assert second.classification_result.classifications[0].classes[0].label == "5.000000"

    def test_health_checks(self, several: tuple[Server, Path]) -> None:
        server, __ = several
        stub = health_pb2_grpc.HealthStub(server.channel)
        for name in ("", "PredictionService", "ModelService"):
            said = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=5)
            assert said.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as told:
            stub.Check(health_pb2.HealthCheckRequest(service="Other"), timeout=5)
        assert told.value.code() is grpc.StatusCode.NOT_FOUND

    def test_the_real_servers_metrics(self, several: tuple[Server, Path]) -> None:
        server, __ = several
        line = ':tensorflow:serving:request_count{model_name="half_plus_three",status="OK"} '
        url = f"{server.base}/monitoring/prometheus/metrics"

        def count() -> int:
            return sum(int(one.split()[-1]) for one in requests.get(url, timeout=5).text.splitlines() if line in one)

        before = count()
        predict(server, "half_plus_three", 1)
        assert count() == before + 1
        page = requests.get(url, timeout=5).text
        assert 'request_latency_count{model_name="half_plus_three",API="Predict",entrypoint="GRPC"}' in page
        requests.post(f"{server.base}/v1/models/made-up:predict", json={"instances": [1]}, timeout=5)
        assert "made-up" not in requests.get(url, timeout=5).text  # or clients could fill the memory

    def test_a_request_without_a_time_limit(self, several: tuple[Server, Path]) -> None:
        server, __ = several
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "half_plus_three"
        request.inputs["x"].CopyFrom(tf.make_tensor_proto([[2.0]]))
        assert server.predictions.Predict(request).outputs["y"].float_val == [4]

    def test_the_reload_rpc(self, several: tuple[Server, Path]) -> None:
        server, folder = several
        request = model_management_pb2.ReloadConfigRequest(metric_names=["/tensorflow/serving/request_count"])
        text_format.Parse(FILE % {"folder": folder}, request.config)
        del request.config.model_config_list.config[1]
        request.config.model_config_list.config.add(
            name="new", base_path=f"{folder}/half_plus_three", model_platform="tensorflow"
        )
        # Answered when the new model is there, and the old one is not any more.
        response = server.models.HandleReloadConfigRequest(request, timeout=60)
        assert (response.status.error_code, response.metric[0].int64_value_increase) == (0, 0)
        assert predict(server, "new", 0) == 3
        with pytest.raises(grpc.RpcError) as told:
            predict(server, "half_plus_three", 0)
        assert told.value.code() is grpc.StatusCode.NOT_FOUND
        assert told.value.details() == "Servable not found for request: Latest(half_plus_three)"
        for path, refusal in (("relative", "INVALID_ARGUMENT"), ("/none", "NOT_FOUND")):
            wrong = model_management_pb2.ReloadConfigRequest()
            wrong.config.model_config_list.config.add(name="x", base_path=path, model_platform="tensorflow")
            with pytest.raises(grpc.RpcError) as told:
                server.models.HandleReloadConfigRequest(wrong, timeout=60)
            assert told.value.code().name == refusal
        assert predict(server, "new", 0) == 3


class TestBatching:
    def test_clients_share_runs_and_get_their_own_answers(
        self, start: Start, imagenet: Path, coffee: bytes, tmp_path: Path
    ) -> None:
        (tmp_path / "batching.config").write_text(
            "max_batch_size { value: 8 } batch_timeout_micros { value: 2000 } "
            "num_batch_threads { value: 1 } max_enqueued_batches { value: 100 }"
        )
        (tmp_path / "monitoring.config").write_text('prometheus_config { enable: true path: "/tf/metrics" }')
        server = start(
            imagenet,
            "--enable_batching",
            f"--batching_parameters_file={tmp_path}/batching.config",
            f"--monitoring_config_file={tmp_path}/monitoring.config",
            MAX_IN_FLIGHT="32",
        )
        brightness = [tf.io.encode_jpeg(np.full([224, 224, 3], value, np.uint8)).numpy() for value in (10, 120, 240)]
        images = [coffee, *brightness] * 5
        expected = {image: server.predictions.Predict(server.request(image), timeout=20) for image in set(images)}
        calls = [server.predictions.Predict.future(server.request(image), timeout=40) for image in images]
        wrong = server.predictions.Predict.future(server.request(b"no picture"), timeout=40)
        for image, call in zip(images, calls, strict=True):
            found, alone = (
                tf.make_ndarray(answer.outputs["probabilities"]) for answer in (call.result(), expected[image])
            )
            assert np.allclose(found, alone, atol=1e-4)
        assert wrong.code() is grpc.StatusCode.INVALID_ARGUMENT
        page = requests.get(f"{server.base}/tf/metrics", timeout=5).text
        (runs,) = (int(line.split()[-1]) for line in page.splitlines() if ":wrapped_run_count{}" in line)
        assert runs < len(images)


def self_signed() -> tuple[bytes, bytes]:
    """A key, and a certificate of localhost."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private, certificate.public_bytes(pem)


class TestSecurity:
    def test_grpc_with_a_certificate(self, start: Start, exported: Path, tmp_path: Path) -> None:
        key, certificate = self_signed()
        said = messages.SSLConfig(server_key=key.decode(), server_cert=certificate.decode())
        (tmp_path / "ssl.config").write_text(text_format.MessageToString(said))
        put(tmp_path / "half" / "1", exported / "1")
        server = start(tmp_path / "half", f"--ssl_config_file={tmp_path}/ssl.config", model="half")
        credentials = grpc.ssl_channel_credentials(certificate)
        target = server.target.replace("127.0.0.1", "localhost")
        with grpc.secure_channel(target, credentials) as channel:
            server.predictions = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            assert predict(server, "half", 0) == 1


class TestOpenVino:
    def test_it_says_what_tensorflow_says(
        self, server: Server, start: Start, imagenet: Path, pictures: list[bytes]
    ) -> None:
        other = start(imagenet, ENGINE="openvino")
        assert '"engine": "openvino"' in other.log()
        assert "TensorFlow runs a signature" not in other.log()
        for name in ("classes", "probabilities"):
            one, two = (
                tf.make_ndarray(each.predictions.Predict(each.request(*pictures), timeout=60).outputs[name])
                for each in (server, other)
            )
            assert one.dtype == two.dtype
            if name == "classes":
                assert one.tolist() == two.tolist()
            else:
                assert np.abs(one - two).max() < 1e-5
        with pytest.raises(grpc.RpcError) as told:
            other.predictions.Predict(other.request(b"no picture"), timeout=20)
        assert told.value.code() is grpc.StatusCode.INVALID_ARGUMENT
