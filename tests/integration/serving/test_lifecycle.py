"""Starting, refusing to start, too much load, and stopping."""

from __future__ import annotations

import base64
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
import requests

from .conftest import Server, Start, run_module


def in_flight(server: Server) -> int:
    found = re.search(r"^cctv_serving_in_flight (\S+)$", requests.get(f"{server.base}/metrics", timeout=5).text, re.M)
    assert found
    return int(float(found[1]))


def wait_for_in_flight(server: Server, count: int) -> None:
    deadline = time.monotonic() + 20
    while in_flight(server) < count:
        assert time.monotonic() < deadline
        time.sleep(0.001)


class TestStopping:
    def test_requests_in_flight_are_answered(self, start: Start, imagenet: Path, coffee: bytes) -> None:
        server = start(imagenet)
        body = {"instances": [{"b64": base64.b64encode(coffee).decode()}]}
        first = server.predictions.Predict.future(server.request(*[coffee] * 16), timeout=20)
        wait_for_in_flight(server, 1)
        over_grpc = [server.predictions.Predict.future(server.request(coffee), timeout=20) for __ in range(2)]
        with ThreadPoolExecutor(2) as clients:
            over_rest = [
                clients.submit(requests.post, f"{server.url}:predict", json=body, timeout=20) for __ in range(2)
            ]
            wait_for_in_flight(server, 5)
            assert server.terminate() == 0
            for answer in over_rest:
                assert [p["classes"] for p in answer.result().json()["predictions"]] == [968]
        assert list(first.result().outputs["classes"].int64_val) == [968] * 16
        for call in over_grpc:
            assert list(call.result().outputs["classes"].int64_val) == [968]
        assert "Traceback" not in server.log()

    def test_a_client_that_never_ends_its_request_holds_nothing_up(self, start: Start, imagenet: Path) -> None:
        server = start(imagenet)
        host, port = server.base.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(b"POST /v1/models/imagenet:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
            requests.get(server.url, timeout=5)
            assert server.terminate() == 0
        assert "Traceback" not in server.log()


class TestLoad:
    def test_more_than_fits_is_refused_at_once(self, start: Start, imagenet: Path, coffee: bytes) -> None:
        server = start(imagenet, MAX_IN_FLIGHT="2")
        request = server.request(*[coffee] * 64)
        calls = [server.predictions.Predict.future(request, timeout=60) for __ in range(6)]
        codes = [call.code() for call in calls]
        assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
        first = server.predictions.Predict.future(request, timeout=60)
        second = server.predictions.Predict.future(request, timeout=60)
        wait_for_in_flight(server, 2)
        answer = requests.post(f"{server.url}:predict", json={"instances": ["x"]}, timeout=20)
        assert answer.status_code == 429
        assert "in flight" in answer.json()["error"]
        assert requests.get(server.url, timeout=5).ok
        assert (first.code(), second.code()) == (grpc.StatusCode.OK, grpc.StatusCode.OK)

    def test_what_a_client_gave_up_is_not_run(self, start: Start, imagenet: Path, coffee: bytes) -> None:
        server = start(imagenet)
        slow = [server.predictions.Predict.future(server.request(*[coffee] * 32), timeout=60) for __ in range(8)]
        wait_for_in_flight(server, 8)
        given_up = [server.predictions.Predict.future(server.request(coffee), timeout=0.05) for __ in range(5)]
        assert {call.code() for call in given_up} == {grpc.StatusCode.DEADLINE_EXCEEDED}
        with pytest.raises(requests.Timeout):
            requests.post(
                f"{server.url}:predict",
                json={"instances": [{"b64": base64.b64encode(coffee).decode()}]},
                timeout=(5, 0.05),
            )
        assert not all(call.done() for call in slow), "all ran before the others had been given up"
        assert {call.code() for call in slow} == {grpc.StatusCode.OK}
        assert server.predictions.Predict(server.request(coffee), timeout=20).outputs["classes"].int64_val == [968]
        metrics = requests.get(f"{server.base}/metrics", timeout=5).text
        ran = re.search(r'^cctv_model_seconds_count\{model="imagenet",stage="serving"\} (\S+)$', metrics, re.M)
        assert ran
        assert float(ran[1]) == len(slow) + 1

    def test_a_rest_request_has_its_time_limit(self, start: Start, imagenet: Path, coffee: bytes) -> None:
        server = start(imagenet, "--rest_api_timeout_in_ms=50")
        slow = [server.predictions.Predict.future(server.request(*[coffee] * 32), timeout=60) for __ in range(8)]
        wait_for_in_flight(server, 1)
        body = {"instances": [{"b64": base64.b64encode(coffee).decode()}]}
        answer = requests.post(f"{server.url}:predict", json=body, timeout=20)
        assert (answer.status_code, answer.json()) == (504, {"error": "Timed out waiting for notification"})
        assert {call.code() for call in slow} == {grpc.StatusCode.OK}


class TestStarting:
    def test_the_highest_version_is_served(self, start: Start, imagenet: Path, tmp_path: Path) -> None:
        for version in ("2", "10", "not-a-version"):
            (tmp_path / "models" / version).parent.mkdir(exist_ok=True)
            (tmp_path / "models" / version).symlink_to(imagenet / "1")
        server = start(tmp_path / "models", model="other")
        assert requests.get(server.url, timeout=5).json()["model_version_status"][0]["version"] == "10"

    def test_standard_error_is_for_what_matters(self, server: Server) -> None:
        # Others use this server too, and the JPEG library has a line of its own for what is no picture.
        starting = [line for line in server.log().splitlines() if not line.startswith("Improper call to JPEG library")]
        assert all(line.startswith("{") for line in starting), server.log()
        assert '"warm_up_requests": 3' in server.log()

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda _: None, "cannot be read: No such file or directory; expected a folder of numeric versions"),
            (lambda base: base.mkdir(), "expected a folder named by a number, with a saved_model.pb in it"),
            (lambda base: (base / "1").mkdir(parents=True), "holds no SavedModel: expected a saved_model.pb in it"),
            (
                lambda base: (
                    (base / "1").mkdir(parents=True),
                    (base / "1" / "saved_model.pb").write_bytes(b"\xff" * 99),
                ),
                "holds no SavedModel that loads",
            ),
        ],
    )
    def test_a_folder_without_a_model_is_one_line(self, make: object, message: str, tmp_path: Path) -> None:
        assert callable(make)
        make(tmp_path / "models")
        done = run_module(
            "cctv_serving", f"--model_base_path={tmp_path / 'models'}", "--port=0", "--grpc_socket_path=x"
        )
        assert done.returncode == 78
        (line,) = done.stderr.splitlines()
        assert line.startswith("Failed to start server. Error: ")
        assert str(tmp_path / "models") in line
        assert message in line

    def test_a_port_in_use_is_one_line(self, server: Server, imagenet: Path) -> None:
        taken = {"grpc": server.target.split(":")[1], "rest": server.base.split(":")[2]}
        for flags, what in (
            ([f"--port={taken['grpc']}"], "gRPC cannot listen on 127.0.0.1:" + taken["grpc"]),
            (
                ["--port=0", "--grpc_socket_path=x", f"--rest_api_port={taken['rest']}"],
                "REST cannot listen on 127.0.0.1:",
            ),
        ):
            done = run_module("cctv_serving", f"--model_base_path={imagenet}", *flags)
            assert done.returncode != 0
            (line,) = done.stderr.splitlines()
            assert what in line

    def test_a_wrong_variable_is_one_line(self, imagenet: Path) -> None:
        done = run_module("cctv_serving", f"--model_base_path={imagenet}", MAX_IN_FLIGHT="many")
        assert done.returncode == 78
        (line,) = done.stderr.splitlines()
        assert line.startswith("MAX_IN_FLIGHT='many': ")

    def test_a_unix_socket(self, start: Start, imagenet: Path, tmp_path: Path, coffee: bytes) -> None:
        server = start(imagenet, f"--grpc_socket_path={tmp_path}/grpc.sock")
        with grpc.insecure_channel(f"unix:{tmp_path}/grpc.sock") as channel:
            predict = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
            assert b"probabilities" in predict(server.request(coffee).SerializeToString(), timeout=20)

    def test_version(self) -> None:
        assert "TensorFlow Library: 2." in run_module("cctv_serving", "--version").stdout
