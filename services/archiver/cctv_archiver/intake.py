"""From records to batches of pictures, with the offsets that may be committed once a batch is written. Pure."""

from __future__ import annotations

from cctv_common.frames import Frame, Headers
from cctv_common.images import image_path
from cctv_common.jpeg import BadFrame
from cctv_common.log import Log
from cctv_common.metrics import StageMetrics, WorkMetrics
from prometheus_client import REGISTRY, CollectorRegistry, Counter

from cctv_archiver.store import Image

MAX_IMAGES = 64
MAX_BYTES = 16 * 1024 * 1024


class Batch:
    """Pictures, and where in Kafka to go on when they are written."""

    def __init__(self) -> None:
        self.images: list[Image] = []
        self.frames: list[Frame] = []
        self.next_offsets: dict[int, int] = {}
        self.size = 0

    @property
    def full(self) -> bool:
        """Whether it should be written before more is added."""
        return len(self.images) >= MAX_IMAGES or self.size >= MAX_BYTES


class Intake:
    """Reads records; bad ones are counted and passed over, and so is what Kafka removed before it was read."""

    def __init__(self, max_bytes: int, metrics: StageMetrics, log: Log, registry: CollectorRegistry = REGISTRY) -> None:
        self._max_bytes = max_bytes
        self._metrics = metrics
        self._log = log
        self._expected: dict[int, int] = {}
        self._missed = Counter(
            "cctv_archiver_records_missed", "Records that Kafka removed before they were read", registry=registry
        )
        self._work = WorkMetrics("archiver", registry)
        self._bytes = Counter("cctv_archiver_bytes_written", "Bytes of pictures written", registry=registry)

    def begin(self) -> None:
        """Partitions were assigned anew."""
        self._expected = {}

    def go_on(self, committed: dict[int, int]) -> None:
        """Reading begins at these offsets, unless they have been removed."""
        self._expected = committed | self._expected

    def take(self, batch: Batch, partition: int, offset: int, value: bytes | None, headers: Headers | None) -> None:
        """Add a record to a batch."""
        missed = offset - self._expected.get(partition, offset)
        if missed > 0:
            self._missed.inc(missed)
            self._log.error(
                "records were removed before they were read", partition=partition, records=missed, first=offset - missed
            )
        self._expected[partition] = batch.next_offsets[partition] = offset + 1
        try:
            frame = Frame.from_record(value, headers, max_bytes=self._max_bytes)
            try:
                path = image_path(frame.camera, frame.epoch, frame.frame, frame.captured_at)
            except ValueError as error:
                raise BadFrame("bad_header", str(error)) from None
        except BadFrame as error:
            self._metrics.bad_record(error.cause, str(error), self._log)
            return
        self._metrics.received(frame.camera)
        batch.images.append(Image(path, frame.jpeg))
        batch.frames.append(frame)
        batch.size += len(frame.jpeg)

    def written(self, batch: Batch, now_ms: float) -> None:
        """Count what was written."""
        self._bytes.inc(batch.size)
        self._work.batch(len(batch.frames))
        for frame in batch.frames:
            self._metrics.sent(frame.camera, frame.age_ms(now_ms))
