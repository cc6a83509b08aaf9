"""Which hop is named when frames of a camera stop somewhere on their way."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from ansible_collections.cctv.pipeline.plugins.module_utils.reach import Direct
from ansible_collections.cctv.pipeline.plugins.modules import pipeline_flow

STAGES = ("producer", "consumer", "video")
ASKED = Direct("")
COUNTERS = [(stage, way) for stage in STAGES for way in ("in", "out")]


class Metrics(ThreadingHTTPServer):
    """A stage's /metrics, whose counters grow at every look."""

    def __init__(self, stage: str, growing: set[str], causes: dict[str, int]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.stage, self.growing, self.causes, self.looks = stage, growing, causes, 0


class Handler(BaseHTTPRequestHandler):
    server: Metrics

    def do_GET(self) -> None:
        self.server.looks += 1
        lines = [
            f'cctv_frames_{way}_total{{stage="{self.server.stage}",camera="gate"}} '
            f"{10 * self.server.looks if way in self.server.growing else 10}"
            for way in ("in", "out")
        ] + [
            f'cctv_frames_dropped_total{{stage="{self.server.stage}",camera="gate",cause="{cause}"}} '
            f"{count * self.server.looks}"
            for cause, count in self.server.causes.items()
        ]
        self.send_response(200)
        self.end_headers()
        self.wfile.write("\n".join(lines).encode())

    def log_message(self, *_: object) -> None:
        pass


Pods = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def pods(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pods]:
    """What runs, where frames get as far as the given number of the six counters on their way."""
    monkeypatch.setattr(pipeline_flow, "OBSERVED_S", 0)
    servers: list[Metrics] = []

    def run(reached: int, causes: dict[str, int] | None = None) -> list[dict[str, Any]]:
        listed = []
        for stage in STAGES:
            growing = {way for at, way in COUNTERS[:reached] if at == stage}
            servers.append(Metrics(stage, growing, causes or {} if stage == "consumer" else {}))
            threading.Thread(target=servers[-1].serve_forever, args=(0.01,), daemon=True).start()
            listed.append(
                {
                    "name": f"{stage}-0",
                    "component": stage,
                    "labels": {"cctv.pipeline/camera": "gate"} if stage == "producer" else {},
                    "state": "running",
                    "address": "127.0.0.1",
                    "ports": {"http": servers[-1].server_port},
                    "log": f"/logs/{stage}-0.log",
                }
            )
        others = {"tf_serving": "tf-serving-0", "kafka": "kafka-0"}
        return listed + [{"component": c, "log": f"/logs/{name}.log"} for c, name in others.items()]

    yield run
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("reached", "hop", "logs"),
    [
        (0, "camera -> producer", ["producer-0"]),
        (1, "producer -> kafka", ["producer-0", "kafka-0"]),
        (2, "kafka (videocam) -> consumer", ["consumer-0", "kafka-0"]),
        (3, "consumer -> tf_serving -> kafka", ["consumer-0", "tf-serving-0"]),
        (4, "kafka (videodisplay) -> video", ["video-0", "kafka-0"]),
        (5, "video -> viewers", ["video-0"]),
        (6, "consumer -> tf_serving", ["tf-serving-0"]),
    ],
)
def test_the_first_hop_that_does_not_count_is_named_with_its_logs(pods: Pods, reached: int, hop: str, logs: list[str]):
    told, __, seen = pipeline_flow.silent_hop("gate", pods(reached), ASKED).partition("; see ")
    assert told.endswith(f"silent is {hop}")
    assert seen == ", ".join(f"/logs/{name}.log" for name in logs)


def test_causes_of_drops_are_told(pods: Pods):
    told = pipeline_flow.silent_hop("gate", pods(3, causes={"stale": 4, "not_jpeg": 9}), ASKED)
    assert "(dropped in 0 s: not_jpeg 9, stale 4)" in told


def test_a_stage_that_does_not_run_or_answer_is_named(pods: Pods):
    listed = pods(6)
    assert pipeline_flow.silent_hop("yard", listed, ASKED) == "no producer runs"
    listed[1]["ports"] = {"http": 9}
    assert pipeline_flow.silent_hop("gate", listed, ASKED).startswith("consumer-0 does not answer (")
    listed[1]["state"] = "backoff"
    assert pipeline_flow.silent_hop("gate", listed, ASKED) == "consumer-0 is backoff; see /logs/consumer-0.log"


def test_the_table_has_a_line_for_each_camera():
    camera = {"id": "gate", "fps_in": 10.04, "fps": 9.96, "age_p50_ms": 31.2, "age_p95_ms": 44.9, "label": "espresso"}
    assert pipeline_flow.table([camera]) == [
        "camera  frames/s in  frames/s out  age p50 ms  age p95 ms  top label",
        "gate           10.0          10.0          31          45  espresso",
    ]
