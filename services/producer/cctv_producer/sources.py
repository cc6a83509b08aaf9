"""Open cameras, of whatever kind."""

from __future__ import annotations

import os

# Read when OpenCV first opens something; what went wrong is said by CameraAway.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2

from cctv_producer.files import LoopedVideo, Stills
from cctv_producer.location import Location
from cctv_producer.pacing import Pause
from cctv_producer.source import Source
from cctv_producer.streams import Stream
from cctv_producer.usb import UsbCamera

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

STILLS_FPS = 1.0


def connect(location: Location, pause: Pause, *, fps: float, width: int, timeout_ms: int) -> Source:
    """Open what ``location`` names; raises CameraAway.

    ``pause`` is how to wait. ``fps`` is the wanted rate, 0 for all. ``width`` is what a USB camera is asked for, 0 for
    any. A stream that takes longer than twice ``timeout_ms`` to open, or sends no picture for ``timeout_ms``, is away.
    """
    if location.kind == "stills":
        return Stills(location, pause, fps or STILLS_FPS)
    if location.kind == "video":
        return LoopedVideo(location.paths[0], pause)
    if location.kind == "usb":
        return UsbCamera(location.paths[0], width, timeout_ms)
    return Stream(location, fps, timeout_ms)
