"""Clips as a camera would send them."""

from __future__ import annotations

from pathlib import Path

import cv2

QUALITY = 80
"""As the producer encodes them."""


def jpegs(clip: Path, most: int = 250) -> list[bytes]:
    """The first frames of a clip."""
    video = cv2.VideoCapture(str(clip))
    found = []
    while len(found) < most:
        there, picture = video.read()
        if not there:
            break
        found.append(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes())
    video.release()
    return found
