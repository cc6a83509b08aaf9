"""Malformed records and requests at services that run: none ends, none says less than why, and each is counted.

FUZZ says how many of each; `make fuzz` sends 12,000.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.conftest import wait_for
from tests.integration.inside import malformed
from tests.integration.inside.conftest import CAMERA, IMAGES, Service, Site

COUNT = int(os.environ.get("FUZZ", "1000"))
CAUSES = ("too_large", "not_jpeg", "truncated", "bomb", "missing_header", "bad_header")
OF_UVICORN = b"Invalid HTTP request received."
ANSWER_S = 20


@pytest.fixture(autouse=True)
def all_live(site: Site) -> Iterator[None]:
    """Before and after, predicted frames flow; nothing has ended, and nothing has raised what nobody expected."""
    shown = site["video"]
    wait_for("model", lambda: site["serving"].get("/v1/models/imagenet")[0] == 200)
    yield
    assert site.ended() == {}
    for name, service in site.services.items():
        assert "Traceback" not in service.log, name
    before = shown.metric("cctv_frames_out_total", camera=CAMERA)
    wait_for("predicted frame", lambda: shown.metric("cctv_frames_out_total", camera=CAMERA) > before)


def refused(service: Service, stage: str) -> float:
    return sum(service.metric("cctv_frames_dropped_total", stage=stage, cause=cause) for cause in CAUSES)


def test_every_malformed_record_is_counted_and_passed_over(site: Site) -> None:
    kafka = site.kafka
    records = malformed.records(COUNT, kafka.max_frame_bytes)
    records.append((b"\xff\xd8" + bytes(kafka.max_frame_bytes), malformed.SOUND.headers()))
    readers = {"consumer": kafka.videocam_topic, "video": kafka.videodisplay_topic, "archiver": IMAGES}
    before = {stage: refused(site[stage], stage) for stage in readers}
    for topic in readers.values():
        for value, headers in records:
            site.send(topic, value, headers)
    site.flush()
    for stage, topic in readers.items():
        wait_for(
            f"end of {topic}",
            lambda stage=stage: refused(site[stage], stage) - before[stage] >= len(records),  # type: ignore[misc]
            120,
        )
    assert {stage: refused(site[stage], stage) - before[stage] for stage in readers} == dict.fromkeys(
        readers, len(records)
    )


def answer(service: Service, wrong: malformed.Wrong) -> bytes:
    """The head of what a service answers, and the beginning of its body; nothing when it hangs up."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=ANSWER_S) as connection:
        try:
            connection.sendall(wrong.data)
            if not wrong.whole:  # it would wait for the rest
                connection.shutdown(socket.SHUT_WR)
            said = b""
            while b"\r\n\r\n" not in said or len(said.partition(b"\r\n\r\n")[2]) < len(OF_UVICORN):
                more = connection.recv(65536)
                if not more:
                    break
                said += more
                # A stream has no end, nor has it to begin with anything.
                if b"multipart/" in said:
                    break
            return said
        except ConnectionError:
            return b""


class Counter:
    """How many requests a service has counted, but for those that ask it."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._asked = 0
        self._before = 0.0
        self._before = self()

    def __call__(self) -> float:
        text = self._service.get("/metrics")[1]
        counted = sum(
            float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if line.startswith(("cctv_serving_requests_total", "cctv_http_requests_total"))
        )
        if "cctv_http_requests_total" in text:
            counted -= self._asked
        self._asked += 1
        return counted - self._before


@pytest.mark.parametrize(
    ("name", "paths", "share"),
    [("serving", malformed.MODEL_PATHS, 0.5), ("video", malformed.PAGES, 0.25), ("ui", malformed.PAGES, 0.25)],
)
def test_every_malformed_request_is_answered_and_counted(site: Site, name: str, paths: list[str], share: float) -> None:
    service = site[name]
    wrong = malformed.wrong_requests(int(COUNT * share), paths)
    counted = Counter(service)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda request: answer(service, request), wrong))
    for request, said in zip(wrong, answers, strict=True):
        if request.whole:
            assert said.startswith(b"HTTP/1.1 "), (request.data, said[:200])
            status = int(said[9:12])
            # Without Elasticsearch, the search page has nothing to show, and says so.
            assert status < 500 or status == 503, (request.data, said[:200])
    # Those that are no HTTP never reach the service; uvicorn answers them itself.
    by_uvicorn = sum(said.endswith(OF_UVICORN) for said in answers)
    least = sum(bool(said) for said in answers) - by_uvicorn
    assert 0 < by_uvicorn < len(wrong) / 2
    wait_for("count of all", lambda: counted() >= least)
    assert counted() <= len(wrong)
