"""What the driver makes of Spark's reports and of what its workers say."""

from __future__ import annotations

from typing import Any

import pytest
import structlog
from cctv_detection.progress import Progress, offsets
from cctv_detection.worker import Looked, Refused
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs


def report(number: int, start: Any, end: Any, read: int) -> dict[str, Any]:
    """As a query's JSON has it, as far as it is read."""
    source = {"startOffset": start, "endOffset": end, "numInputRows": read, "metrics": {"maxOffsetsBehindLatest": "3"}}
    return {"batchId": number, "durationMs": {"addBatch": 200, "triggerExecution": 300}, "sources": [source]}


def progress() -> tuple[Progress, CollectorRegistry]:
    registry = CollectorRegistry()
    return Progress(structlog.stdlib.get_logger(), registry), registry


def test_counts_a_batch_once() -> None:
    counts, registry = progress()
    first = report(0, {"videocam": {"0": 5, "1": 0}}, {"videocam": {"0": 9, "1": 2}}, 6)
    for __ in range(3):
        counts.batches([first])
    assert registry.get_sample_value("cctv_detection_records_total") == 6
    assert registry.get_sample_value("cctv_detection_lost_records_total") == 0
    assert registry.get_sample_value("cctv_kafka_lag_records", {"stage": "detection"}) == 3
    assert registry.get_sample_value("cctv_batch_frames_sum", {"stage": "detection"}) == 6
    assert registry.get_sample_value("cctv_detection_batch_seconds_count", {"part": "addBatch"}) == 1


def test_tells_what_is_missing_with_its_place() -> None:
    counts, registry = progress()
    with capture_logs() as said:
        counts.batches([report(7, {"videocam": {"0": 10, "1": 4}}, {"videocam": {"0": 30, "1": 4}}, 12)])
    assert registry.get_sample_value("cctv_detection_lost_records_total") == 8
    (line,) = said
    assert (line["event"], line["records"], line["batch"]) == ("records lost", 8, 7)
    assert line["offsets"] == {"videocam-0": [10, 30]}


def test_says_nothing_of_a_beginning_that_it_does_not_know() -> None:
    assert offsets(None, {"videocam": {"0": 9}}) == {}


def test_a_new_partition_begins_at_its_beginning_and_a_new_topic_has_no_range() -> None:
    assert offsets({"videocam": {"0": 9}}, {"videocam": {"0": 3, "1": 2}}) == {
        "videocam-0": (9, 9),
        "videocam-1": (0, 2),
    }


def test_counts_frames_by_what_became_of_them() -> None:
    counts, registry = progress()
    counts.heard(
        [Looked("gate", 1_000, 1_400.0, 0.1), Refused("gate", "not_jpeg", "x"), Refused("", "bad_header", "y")]
    )
    labels = {"stage": "detection", "camera": "gate"}
    assert registry.get_sample_value("cctv_frames_in_total", labels) == 2
    assert registry.get_sample_value("cctv_frames_out_total", labels) == 1
    assert registry.get_sample_value("cctv_frame_age_seconds_sum", labels) == pytest.approx(0.4)
    assert registry.get_sample_value("cctv_frames_dropped_total", labels | {"cause": "not_jpeg"}) == 1
    unknown = {"stage": "detection", "camera": "", "cause": "bad_header"}
    assert registry.get_sample_value("cctv_frames_dropped_total", unknown) == 1
