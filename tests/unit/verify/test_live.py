"""The figures of `make status`, from what real registries say at two times."""

from __future__ import annotations

import pytest
from ansible_collections.cctv.pipeline.plugins.module_utils.live import Look, Rates, cameras, stages
from cctv_common.metrics import KafkaLag, StageMetrics, WorkMetrics
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest


class Pod:
    """A service's registry."""

    def __init__(self, stage: str) -> None:
        self.registry = CollectorRegistry()
        self.frames = StageMetrics(stage, self.registry)
        self.work = WorkMetrics(stage, self.registry)
        self.lag = KafkaLag(stage, "t", self.registry)

    def text(self) -> str:
        return generate_latest(self.registry).decode()


def frames(pod: Pod, camera: str, count: int, age_ms: float = 45, dropped: int = 0) -> None:
    for number in range(count):
        pod.frames.received(camera)
        if number < dropped:
            pod.frames.dropped(camera, "stale" if number else "superseded")
        else:
            pod.frames.sent(camera, age_ms)


@pytest.fixture
def pods() -> dict[str, Pod]:
    made = {
        "producer-a": Pod("producer"),
        "consumer-0": Pod("consumer"),
        "consumer-1": Pod("consumer"),
        "video-0": Pod("video"),
    }
    registry = made["producer-a"].registry
    for name, value in (("up", 1), ("frozen", 0), ("grey", 0)):
        Gauge(f"cctv_camera_{name}", name, ["camera"], registry=registry).labels("a").set(value)
    Counter("cctv_camera_frames_read", "read", ["camera"], registry=registry).labels("a")
    return made


def look(pods: dict[str, Pod], at: float) -> Look:
    return Look({name: pod.text() for name, pod in pods.items()}, at)


def test_hops_show_what_was_counted_between_two_looks(pods: dict[str, Pod]) -> None:
    for pod in pods.values():
        frames(pod, "a", 1000, 5000)
    first = look(pods, 10)
    frames(pods["producer-a"], "a", 40)
    frames(pods["consumer-0"], "a", 30, dropped=3)
    frames(pods["consumer-1"], "b", 10)
    frames(pods["video-0"], "a", 20, age_ms=70)
    pods["consumer-0"].work.waiting(lambda: 3)
    pods["consumer-1"].lag.set(7)
    said = {line.split()[0]: line.split()[1:] for line in stages(Rates(first, look(pods, 12)))[1:]}
    # in/s, out/s, dropped/s, age p50 and p95 by linear interpolation in the bucket, waiting, in Kafka, causes
    assert said["producer"] == ["20.0", "20.0", "-", "45", "50", "-", "0"]
    assert said["consumer"] == ["20.0", "18.5", "1.5", "45", "50", "3", "7", "stale,", "superseded"]
    assert said["video"][:5] == ["10.0", "10.0", "-", "70", "79"]
    assert set(said) == {"producer", "consumer", "video"}


def test_a_pod_that_was_started_anew_counts_from_nothing(pods: dict[str, Pod]) -> None:
    frames(pods["video-0"], "a", 1000)
    first = look(pods, 0)
    pods["video-0"] = Pod("video")
    frames(pods["video-0"], "a", 10)
    assert Rates(first, look(pods, 2)).rate("cctv_frames_out_total", stage="video") == 5


@pytest.mark.parametrize(("gauge", "value", "state"), [("up", 0, "away"), ("frozen", 1, "frozen"), ("grey", 1, "grey")])
def test_cameras_show_their_state(pods: dict[str, Pod], gauge: str, value: int, state: str) -> None:
    frames(pods["video-0"], "a", 1)
    first = look(pods, 0)
    frames(pods["video-0"], "a", 10)
    before, after = first, look(pods, 2)
    (line,) = cameras(Rates(before, after))[1:]
    assert line.split() == ["a", "live", "0.0", "-", "-", "5.0", "45", "50"]
    registered = pods["producer-a"].registry._names_to_collectors[f"cctv_camera_{gauge}"]
    registered.labels("a").set(value)  # type: ignore[attr-defined]
    (line,) = cameras(Rates(before, look(pods, 2)))[1:]
    assert line.split()[:2] == ["a", state]
