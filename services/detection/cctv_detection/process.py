"""From a frame to its document and its picture with boxes: all that is done to a selected frame, without any Spark."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from cctv_common.frames import Frame
from cctv_common.jpeg import MAX_PIXELS, BadFrame, dimensions
from cctv_common.picture import decode, encode

from cctv_detection import document, draw
from cctv_detection.detectors import Detector
from cctv_detection.select import Cameras


@dataclass(frozen=True, slots=True)
class Result:
    """What is kept of a frame."""

    document: bytes
    """JSON as `detection.schema.json` says it."""
    jpeg: bytes
    """The picture with the boxes in it; as many pixels as the frame's."""


class FrameDetector:
    """Looks at frames, one at a time."""

    def __init__(
        self,
        objects: Detector,
        faces: Detector | None,
        cameras: Cameras,
        *,
        max_pixels: int = MAX_PIXELS,
        jpeg_quality: int = 80,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if faces is None and cameras.blurred():
            # Or pictures would be kept with the very faces that were not to be seen.
            raise ValueError("faces are to be blurred, but no face detector is there to find them")
        self._objects = objects
        self._faces = faces
        self._cameras = cameras
        self._max_pixels = max_pixels
        self._jpeg_quality = jpeg_quality
        self._clock = clock

    def process(self, frame: Frame) -> Result:
        """Say what is in ``frame``; raises BadFrame, with the cause to count, when it has no picture to look at."""
        if dimensions(frame.jpeg, self._max_pixels) != (frame.width, frame.height):
            raise BadFrame("bad_header", "its JPEG has another size than its headers say")
        picture = decode(frame.jpeg)
        objects = self._objects.detect(picture)
        faces = self._faces.detect(picture) if self._faces else []
        blurred = self._cameras.of(frame.camera).blur_faces
        said = document.build(
            frame,
            objects,
            faces,
            [document.Model(d.task, d.name, d.version) for d in (self._objects, self._faces) if d],
            faces_blurred=blurred,
            detected_at=int(self._clock() * 1000),
        )
        if blurred:
            draw.blur(picture, [face.box for face in faces])
        draw.boxes(picture, objects, faces)
        return Result(document.encode(said), encode(picture, self._jpeg_quality))
