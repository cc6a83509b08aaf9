"""What Spark's Python workers do: selected records in, records of both topics out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
from cctv_common.frames import Frame
from cctv_common.jpeg import BadFrame

from cctv_detection.detectors import load
from cctv_detection.process import FrameDetector, Result
from cctv_detection.select import Cameras

RECORDS = pa.schema(
    [
        ("topic", pa.string()),
        ("key", pa.string()),
        ("value", pa.binary()),
        ("headers", pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))),
    ]
)
COLUMNS = "topic string, key string, value binary, headers array<struct<key string, value binary>>"
"""The same, in Spark's words."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker has to know; it comes with each task."""

    detections: str
    """Topic of documents."""
    images: str
    """Topic of pictures."""
    models: Path
    objects: str
    """Name of a detector, as is ``faces``."""
    faces: str
    object_min_score: float | None
    face_min_score: float | None
    cameras: Cameras
    max_bytes: int
    """Of a picture."""
    max_pixels: int
    jpeg_quality: int


@dataclass(frozen=True, slots=True)
class Looked:
    """A frame that was looked at."""

    camera: str
    captured_at: int
    done_at: float
    """ms since 1970, on the worker's clock, as are those of the document."""
    took_s: float


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that is no frame, or whose picture cannot be looked at."""

    camera: str
    cause: str
    message: str


Event = Looked | Refused


class Tally(Protocol):
    """Where a worker says what it has done; Spark brings it to the driver at a task's end."""

    def add(self, term: list[Event]) -> None:
        """Say more."""


class Events:
    """How Spark puts together what its workers say: one after the other."""

    def zero(self, value: list[Event]) -> list[Event]:
        """Return what a task begins with."""
        return []

    def addInPlace(self, value: list[Event], more: list[Event]) -> list[Event]:
        """Return both, in ``value``."""
        value.extend(more)
        return value


def detect(work: Work, tally: Tally, batches: Iterable[Any]) -> Iterator[Any]:
    """Look at the frames of one task; what is no frame is said and passed over."""
    detector = _detector(work)
    for batch in batches:
        for record in batch.to_pylist():
            started = time.monotonic()
            camera = ""
            try:
                headers = [(header["key"], header["value"]) for header in record["headers"] or ()]
                frame = Frame.from_record(
                    record["value"], headers, max_bytes=work.max_bytes, max_pixels=work.max_pixels
                )
                camera = frame.camera
                result = detector.process(frame)
                if len(result.jpeg) > work.max_bytes:
                    raise BadFrame("too_large", f"has {len(result.jpeg)} bytes with its boxes drawn")
            except BadFrame as bad:
                tally.add([Refused(camera, bad.cause, str(bad))])
                continue
            except Exception as error:  # whatever it is, it would be the same again, and stop all other frames for good
                tally.add([Refused(camera, "failed", f"{type(error).__name__}: {error}"[:300])])
                continue
            yield _records(work, frame, result)
            tally.add([Looked(camera, frame.captured_at, time.time() * 1000, time.monotonic() - started)])


def _records(work: Work, frame: Frame, result: Result) -> Any:
    headers = [{"key": name, "value": value} for name, value in frame.headers()]
    return pa.RecordBatch.from_pylist(
        [
            # The picture first: whoever has seen a detection is to find it soon.
            {"topic": work.images, "key": frame.camera, "value": result.jpeg, "headers": headers},
            {"topic": work.detections, "key": frame.camera, "value": result.document, "headers": []},
        ],
        schema=RECORDS,
    )


_loaded: tuple[Work, FrameDetector] | None = None


def _detector(work: Work) -> FrameDetector:
    """The process's one detector: Spark keeps a worker for many tasks, and a model takes a second to load."""
    global _loaded
    if _loaded is None or _loaded[0] != work:
        _loaded = work, frame_detector(work)
    return _loaded[1]


def frame_detector(work: Work) -> FrameDetector:
    """Load the detectors; raises CannotLoad with what is wrong with a model's file."""
    objects = load(work.objects, work.models, min_score=work.object_min_score)
    assert objects is not None  # only faces may be looked for by none
    return FrameDetector(
        objects,
        load(work.faces, work.models, min_score=work.face_min_score),
        work.cameras,
        max_pixels=work.max_pixels,
        jpeg_quality=work.jpeg_quality,
    )
