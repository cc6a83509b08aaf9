"""The document of one frame, as `detection.schema.json` beside this file publishes it and Elasticsearch maps it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import orjson
from cctv_common.frames import Frame
from cctv_common.images import image_path
from cctv_common.jpeg import BadFrame

from cctv_detection.detection import Box, Detection, Task


@dataclass(frozen=True, slots=True)
class Model:
    """Which model has answered."""

    task: Task
    name: str
    version: str


def build(
    frame: Frame,
    objects: Sequence[Detection],
    faces: Sequence[Detection],
    models: Sequence[Model],
    *,
    faces_blurred: bool,
    detected_at: int,
) -> dict[str, Any]:
    """Return the document of ``frame``; raises BadFrame when its time or numbers are none that can be kept."""
    try:
        image = image_path(frame.camera, frame.epoch, frame.frame, frame.captured_at)
    except ValueError as error:
        raise BadFrame("bad_header", str(error)) from None
    return {
        "id": frame.id,
        "@timestamp": timestamp(frame.captured_at),
        "camera": frame.camera,
        "epoch": frame.epoch,
        "frame": frame.frame,
        "captured_at": frame.captured_at,
        "detected_at": detected_at,
        "width": frame.width,
        "height": frame.height,
        "objects": [{"class": found.label, **_found(found)} for found in _surest_first(objects)],
        "faces": [_found(found) for found in _surest_first(faces)],
        "classes": sorted({found.label for found in objects}),
        "object_count": len(objects),
        "face_count": len(faces),
        "models": [{"task": model.task, "name": model.name, "version": model.version} for model in models],
        "faces_blurred": faces_blurred,
        "image": image,
    }


def encode(document: dict[str, Any]) -> bytes:
    """Return the document as the value of a record."""
    return orjson.dumps(document)


def schema() -> dict[str, Any]:
    """Return the published JSON Schema of the document."""
    text = resources.files(__package__ or "").joinpath("detection.schema.json").read_bytes()
    said: dict[str, Any] = orjson.loads(text)
    return said


def timestamp(ms: int) -> str:
    """Milliseconds since 1970 as ISO 8601 in UTC."""
    return f"{datetime.fromtimestamp(ms // 1000, UTC):%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"


def _surest_first(found: Sequence[Detection]) -> list[Detection]:
    # Whatever is equal in score has an order of its own, so that a frame always has the same document.
    return sorted(found, key=lambda d: (-d.score, d.label, d.box.x, d.box.y, d.box.width, d.box.height))


def _found(found: Detection) -> dict[str, Any]:
    return {"score": round(found.score, 4), "box": _box(found.box)}


def _box(box: Box) -> dict[str, int]:
    return {"x": box.x, "y": box.y, "width": box.width, "height": box.height}
