"""Records become pictures; bad ones are counted by cause, passed over and never come again."""

from __future__ import annotations

import struct

import pytest
import structlog
from cctv_archiver.intake import MAX_IMAGES, Batch, Intake
from cctv_common.frames import Frame
from cctv_common.metrics import StageMetrics
from prometheus_client import CollectorRegistry

from .conftest import AT

MAX_BYTES = 10_000
PATH = "gate/2026-06-01/10/gate-1-2.jpg"


def jpeg(width: int = 16, height: int = 8, size: int = 0) -> bytes:
    header = struct.pack(">BHHB", 8, height, width, 1) + b"\x01\x11\x00"
    return b"\xff\xd8\xff\xc0" + struct.pack(">H", len(header) + 2) + header + bytes(size) + b"\xff\xd9"


def frame(**changes: object) -> Frame:
    said = {"camera": "gate", "epoch": 1, "frame": 2, "captured_at": AT, "width": 16, "height": 8, "jpeg": jpeg()}
    return Frame(**{**said, **changes})  # type: ignore[arg-type]


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def intake(registry: CollectorRegistry) -> Intake:
    return Intake(MAX_BYTES, StageMetrics("archiver", registry), structlog.stdlib.get_logger(), registry)


def test_a_record_is_a_picture_at_its_path(intake: Intake, registry: CollectorRegistry) -> None:
    batch = Batch()
    intake.take(batch, 3, 7, jpeg(), frame().headers())
    assert batch.images == [(PATH, jpeg())]
    assert batch.next_offsets == {3: 8}
    intake.written(batch, AT + 500)
    assert registry.get_sample_value("cctv_archiver_bytes_written_total") == len(jpeg())
    assert registry.get_sample_value("cctv_frames_out_total", {"stage": "archiver", "camera": "gate"}) == 1


@pytest.mark.parametrize(
    ("value", "of", "cause"),
    [
        (None, frame(), "not_jpeg"),
        (b"", frame(), "not_jpeg"),
        (b"<html>", frame(), "not_jpeg"),
        (jpeg()[:-2], frame(), "truncated"),
        (jpeg(size=MAX_BYTES), frame(), "too_large"),
        (jpeg(8000, 6000), frame(width=8000, height=6000), "bomb"),
        (jpeg(), frame(camera="../../etc"), "bad_header"),
        (jpeg(), frame(camera="gate/../.."), "bad_header"),
        (jpeg(), frame(captured_at=10**17), "bad_header"),
        (jpeg(), frame(captured_at=-1), "bad_header"),
        (jpeg(), frame(width=17), "bad_header"),
    ],
)
def test_a_bad_record_is_counted_and_passed_over(
    intake: Intake, registry: CollectorRegistry, value: bytes | None, of: Frame, cause: str
) -> None:
    batch = Batch()
    intake.take(batch, 0, 0, value, of.headers())
    intake.take(batch, 0, 1, jpeg(), frame().headers())
    assert [image.path for image in batch.images] == [PATH]
    assert batch.next_offsets == {0: 2}
    labels = {"stage": "archiver", "camera": "", "cause": cause}
    assert registry.get_sample_value("cctv_frames_dropped_total", labels) == 1


def test_a_record_without_headers_is_counted(intake: Intake, registry: CollectorRegistry) -> None:
    batch = Batch()
    intake.take(batch, 0, 0, jpeg(), None)
    assert (batch.images, batch.next_offsets) == ([], {0: 1})
    labels = {"stage": "archiver", "camera": "", "cause": "missing_header"}
    assert registry.get_sample_value("cctv_frames_dropped_total", labels) == 1


def test_a_picture_of_one_pixel_is_kept(intake: Intake) -> None:
    batch = Batch()
    intake.take(batch, 0, 0, jpeg(1, 1), frame(width=1, height=1).headers())
    assert batch.images == [(PATH, jpeg(1, 1))]


def test_a_batch_is_full_by_number_and_by_size(intake: Intake) -> None:
    batch = Batch()
    for offset in range(MAX_IMAGES):
        assert not batch.full
        intake.take(batch, 0, offset, jpeg(), frame(frame=offset).headers())
    assert batch.full


def missed(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("cctv_archiver_records_missed_total")


def test_what_kafka_removed_before_it_was_read_is_counted(intake: Intake, registry: CollectorRegistry) -> None:
    intake.begin()
    intake.go_on({0: 10})
    batch = Batch()
    intake.take(batch, 0, 15, jpeg(), frame().headers())
    assert missed(registry) == 5
    intake.take(batch, 0, 16, jpeg(), frame().headers())
    intake.take(batch, 1, 40, jpeg(), frame().headers())  # the first of a partition of which nothing is known
    intake.take(batch, 1, 42, jpeg(), frame().headers())
    assert missed(registry) == 6


def test_what_comes_again_is_not_missed(intake: Intake, registry: CollectorRegistry) -> None:
    intake.begin()
    intake.go_on({0: 0})
    batch = Batch()
    for offset in (0, 1, 2):
        intake.take(batch, 0, offset, jpeg(), frame().headers())
    intake.go_on({0: 0})  # asked once more, as no broker had answered
    intake.take(batch, 0, 3, jpeg(), frame().headers())
    intake.begin()
    intake.go_on({0: 1})
    intake.take(batch, 0, 1, jpeg(), frame().headers())
    assert missed(registry) == 0
