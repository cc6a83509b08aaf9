"""The service as a process, with the real Kafka."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka.admin import NewPartitions
from integration.video.crowd import Crowd
from integration.video.helpers import Feed, Sender, Service, Viewer, frame, jpeg
from ports import free_port
from waiting import until

Start = Callable[..., Service]


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> str:
    """A topic of the test's own, not made yet."""
    return "display-" + request.node.name.removeprefix("test_")[:60]


@pytest.fixture
def start(start_service: Start, topic: str) -> Iterator[Start]:
    def start(kafka: Any, **more: str) -> Service:
        return start_service(
            **{
                "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
                "KAFKA_VIDEODISPLAY_TOPIC": topic,
                "HTTP_PORT": str(free_port()),
                "VIDEO_CAMERAS": "gate,yard",
                "CAMERA_SILENT_AFTER_MS": "1000",
            }
            | more
        )

    yield start


def test_frames_of_all_partitions_are_shown_and_of_those_added_later(kafka: Any, topic: str, start: Start) -> None:
    kafka.create_topic(topic, partitions=3)
    service = start(kafka)
    service.wait_ready()
    send = Sender(kafka.bootstrap_servers, topic)
    until("assignment", lambda: any("partitions assigned" in line for line in service.lines))
    numbers = iter(range(10_000))

    def shown(partition: int) -> bool:
        send(frame(f"camera-{partition}", next(numbers)), partition)
        return service.frames(f"camera-{partition}") > 0

    for partition in range(3):
        until(f"frame of partition {partition}", lambda partition=partition: shown(partition))
    kafka.admin.create_partitions([NewPartitions(topic, 5)])[topic].result(30)
    until("partition 4", lambda: len(kafka.admin.list_topics(topic, timeout=5).topics[topic].partitions) == 5)
    send = Sender(kafka.bootstrap_servers, topic)  # one that knows the new partitions
    until("frame of partition 4", lambda: shown(4))
    until("frame of partition 0", lambda: shown(0))


def shows_all(camera: dict[str, Any]) -> bool:
    """Whether a camera's pictures are shown as often as they come in."""
    return bool(camera["frames"] > 20 and camera["fps"] == pytest.approx(camera["fps_in"], rel=0.2))


def test_every_replica_shows_every_frame(kafka: Any, topic: str, start: Start) -> None:
    kafka.create_topic(topic, partitions=2)
    services = [start(kafka), start(kafka)]
    with Feed(Sender(kafka.bootstrap_servers, topic), ["gate", "yard", "one", "two"], fps=20):
        for service in services:
            service.wait_ready()
            for camera in ("gate", "yard", "one", "two"):
                until(f"all of {camera}", lambda camera=camera, service=service: shows_all(service.cameras()[camera]))


def test_it_waits_for_a_topic_that_is_not_there_yet(kafka: Any, topic: str, start: Start) -> None:
    service = start(kafka)
    until("answer", lambda: service.status("/healthz") == 200)
    assert service.status("/readyz") == 503
    assert service.status("/") == 200
    kafka.create_topic(topic)
    service.wait_ready()
    with Feed(Sender(kafka.bootstrap_servers, topic), ["gate"]):
        until("frames", lambda: service.frames("gate"))


def test_kafka_is_killed_and_comes_back(kafka: Any, topic: str, start: Start) -> None:
    kafka.create_topic(topic)
    service = start(kafka)
    service.wait_ready()
    with Feed(Sender(kafka.bootstrap_servers, topic), ["gate"]), Viewer(service.port, "/live") as viewer:
        viewer.read(9)
        viewer.picture("gate")
        kafka.kill()
        until("silence", lambda: service.cameras()["gate"]["state"] == "silent")
        assert service.status("/healthz") == service.status("/readyz") == 200
        assert service.status("/cameras/gate/snapshot.jpg") == 200
        kafka.start()
        until("frames", lambda: service.cameras()["gate"]["state"] == "live")
        viewer.picture("gate")  # in the very stream that was open all the time
    assert any("in trouble" in line for line in service.lines)
    assert sum("in trouble" in line for line in service.lines) <= 3


def test_kafka_hangs_and_goes_on(kafka: Any, topic: str, start: Start) -> None:
    kafka.create_topic(topic)
    service = start(kafka)
    service.wait_ready()
    with Feed(Sender(kafka.bootstrap_servers, topic), ["gate"]):
        until("frames", lambda: service.frames("gate"))
        kafka.stop()
        until("silence", lambda: service.cameras()["gate"]["state"] == "silent")
        assert service.status("/healthz") == 200
        kafka.cont()
        until("frames", lambda: service.cameras()["gate"]["state"] == "live")


def test_of_200_viewers_100_take_nothing_which_costs_no_memory_and_harms_nobody(
    kafka: Any, topic: str, start: Start
) -> None:
    kafka.create_topic(topic)
    service = start(kafka, VIDEO_MAX_VIEWERS="200", VIDEO_WRITE_TIMEOUT_MS="600000")
    service.wait_ready()
    send = Sender(kafka.bootstrap_servers, topic)
    noise = jpeg(1, (1000, 700), detail=True)
    assert len(noise) > 800_000

    def show(number: int) -> None:
        send(frame("gate", number, picture=noise))
        until(f"picture {number} for every reader", lambda: min(crowd.newest) == number)

    with Crowd(service.port, "/live?width=320", readers=100, stalled=100, stalled_path="/live") as crowd:
        until("200 viewers", lambda: "cctv_video_viewers 200.0" in service.metrics())
        until("a first picture", lambda: send(frame("gate", 0, picture=noise)) or min(crowd.newest) == 0)
        for number in range(1, 31):
            show(number)
        before = service.resident_mib()
        for number in range(31, 111):
            show(number)
        grown = service.resident_mib() - before
        assert crowd.skipped == 0
        # The 80 pictures, if they were kept for those who have not taken them, are 60 MiB even when they share them.
        assert grown < 30
        assert "cctv_video_viewers 200.0" in service.metrics()


def test_bad_records_are_counted_and_the_rest_is_shown(kafka: Any, topic: str, start: Start) -> None:
    kafka.create_topic(topic)
    service = start(kafka)
    service.wait_ready()
    send = Sender(kafka.bootstrap_servers, topic)
    made = frame("gate", 0)
    bomb = made.jpeg.replace(
        b"\xff\xc0\x00\x11\x08\x00\xb4\x01\x40", b"\xff\xc0\x00\x11\x08\xff\xff\xff\xff"
    )  # 180 rows of 320 pixels, now 65535 of 65535
    assert bomb != made.jpeg
    causes = {
        "not_jpeg": (b"<html>", made.headers()),
        "truncated": (made.jpeg[:200], made.headers()),
        "bomb": (bomb, made.headers()),
        "missing_header": (made.jpeg, []),
        "bad_header": (made.jpeg, [*made.headers()[1:], ("camera", b"Robert'); --")]),
    }

    def counted() -> bool:
        for value, headers in causes.values():
            send.record(value, headers)
        send.record(None, made.headers())
        text = service.metrics()
        return all(f'camera="",cause="{cause}",stage="video"' in text for cause in causes)

    until("counters", counted)
    with Feed(send, ["gate"]):
        until("frames", lambda: service.frames("gate"))
    for cause in causes:
        assert sum(f'"cause": "{cause}"' in line for line in service.lines) == 1


def test_it_stops_quickly_with_viewers_who_read_and_who_do_not(kafka: Any, topic: str, start: Start) -> None:
    kafka.create_topic(topic)
    service = start(kafka)
    service.wait_ready()
    noise = jpeg(1, (1000, 700), detail=True)
    with (
        Feed(Sender(kafka.bootstrap_servers, topic), ["gate"], picture=noise),
        Viewer(service.port, "/live", receive_buffer=4096),
        Viewer(service.port, "/cameras/gate/stream.mjpg") as viewer,
    ):
        viewer.read(9)
        for __ in range(10):
            viewer.part()
        assert service.end() == 0
    assert not [line for line in service.lines if "Traceback" in line or "without completing" in line]


def test_it_stops_quickly_while_kafka_is_away(start_service: Start) -> None:
    service = start_service(KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{free_port()}", HTTP_PORT=str(free_port()))
    until("answer", lambda: service.status("/healthz") == 200)
    assert service.status("/readyz") == 503
    assert service.end() == 0


def test_a_port_in_use_is_one_line(start_service: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        service = start_service(KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:9", HTTP_PORT=port)
        assert service.process.wait(30) == 1
    until("its words", lambda: service.lines)
    (line,) = service.lines
    assert port in line and "in use" in line


def test_what_hangs_fails_its_liveness_probe(start: Start, kafka: Any) -> None:
    service = start(kafka)
    until("answer", lambda: service.status("/healthz") == 200)
    service.process.send_signal(signal.SIGSTOP)
    with pytest.raises(TimeoutError), socket.create_connection(("127.0.0.1", service.port), timeout=1) as probe:
        probe.sendall(b"GET /healthz HTTP/1.1\r\nHost: probe\r\n\r\n")
        probe.recv(1)
