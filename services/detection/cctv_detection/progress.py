"""What the driver says of the query: of its batches, as Spark reports them, and of frames, as workers do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cctv_common.log import Log
from cctv_common.metrics import KafkaLag, StageMetrics, WorkMetrics
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram

from cctv_detection.worker import Event, Looked

DETECTORS = "detectors"
"""The model that is counted: a frame is shown to all detectors in turn, and drawn on."""
SECONDS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 2, 5, 10, 30)


class Progress:
    """Counts, and tells of what is missing."""

    def __init__(self, log: Log, registry: CollectorRegistry = REGISTRY) -> None:
        self._log = log
        self._frames = StageMetrics("detection", registry)
        self._work = WorkMetrics("detection", registry)
        self._batch_seconds = Histogram(
            "cctv_detection_batch_seconds",
            "Time that batches took, by what was done in it",
            ["part"],
            buckets=SECONDS,
            registry=registry,
        )
        self._records = Counter("cctv_detection_records", "Records of videocam that were read", registry=registry)
        self._lost = Counter(
            "cctv_detection_lost_records", "Records that were gone before they were read", registry=registry
        )
        self._failures = Counter(
            "cctv_detection_query_failures", "How often the query failed, and was started again", registry=registry
        )
        self._lag = KafkaLag("detection", "", registry)
        self._last = -1

    def heard(self, events: Iterable[Event]) -> None:
        """Count what workers have done."""
        for event in events:
            if isinstance(event, Looked):
                self._frames.received(event.camera)
                self._frames.sent(event.camera, event.done_at - event.captured_at)
                self._work.model(DETECTORS, event.took_s)
            elif event.camera:
                self._frames.received(event.camera)
                self._frames.bad_record(event.cause, event.message, self._log, event.camera)
            else:
                self._frames.bad_record(event.cause, event.message, self._log)

    def batches(self, reports: Iterable[Mapping[str, Any]]) -> None:
        """Count those of Spark's reports, the oldest first, that are new."""
        for report in reports:
            number = int(report["batchId"])
            if number <= self._last or "addBatch" not in report["durationMs"]:
                continue
            self._last = number
            for part, ms in report["durationMs"].items():
                self._batch_seconds.labels(part).observe(ms / 1000)
            for source in report["sources"]:
                self._source(number, source)

    def begin(self) -> None:
        """Say that a query starts: its first batch may be one that was tried before."""
        self._last = -1

    def failed(self) -> None:
        """Count a query that ended by itself."""
        self._failures.inc()

    def _source(self, batch: int, source: Mapping[str, Any]) -> None:
        read = int(source["numInputRows"])
        self._records.inc(read)
        self._work.batch(read)
        self._lag.set(float((source.get("metrics") or {}).get("maxOffsetsBehindLatest") or 0))
        ranges = offsets(source["startOffset"], source["endOffset"])
        lost = sum(end - start for start, end in ranges.values()) - read
        if lost > 0:
            self._lost.inc(lost)
            self._log.error(
                "records lost",
                records=lost,
                batch=batch,
                offsets={name: list(span) for name, span in ranges.items() if span[0] < span[1]},
                problem="retention of videocam has removed them before they were read",
            )


Offsets = Mapping[str, Mapping[str, int]]


def offsets(start: Offsets | None, end: Offsets | None) -> dict[str, tuple[int, int]]:
    """Return ``{"topic-partition": (first, behind the last)}`` of a batch; nothing where its start is not known.

    A partition that has come since the batch before is read from its beginning. One whose topic was made anew goes
    backwards, and has no range.
    """
    if start is None or end is None:
        return {}
    return {
        f"{topic}-{partition}": (begin, max(begin, offset))
        for topic, partitions in end.items()
        for partition, offset in partitions.items()
        for begin in [start.get(topic, {}).get(partition, 0)]
    }
