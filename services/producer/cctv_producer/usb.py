"""Cameras of this machine, through Video4Linux."""

from __future__ import annotations

import grp
import math
import os
import stat
from pathlib import Path

import cv2

from cctv_producer.image import Image
from cctv_producer.source import CameraAway

WIDTH = 1280


class UsbCamera:
    """A device such as /dev/video0.

    It is asked for JPEGs, as raw pictures of any size worth having do not fit through USB 2, and for pictures ``width``
    wide; a camera that has no such gives what is nearest.
    """

    codec = "usb"

    def __init__(self, device: Path, width: int, timeout_ms: int) -> None:
        self._device = device
        self._timeout_ms = timeout_ms
        # Read when the first camera is opened, in whole seconds.
        os.environ["OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT"] = str(math.ceil(timeout_ms / 1000))
        _check(device)
        self._capture = cv2.VideoCapture(str(device), cv2.CAP_V4L2)
        if not self._capture.isOpened():
            raise CameraAway(f"{device} gives no pictures: it is in use, or no camera")
        wanted = width or WIDTH
        for setting, value in (
            (cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG")),
            (cv2.CAP_PROP_FRAME_WIDTH, wanted),
            (cv2.CAP_PROP_FRAME_HEIGHT, wanted * 9 // 16),
            # The newest picture is wanted, not the one that waits longest.
            (cv2.CAP_PROP_BUFFERSIZE, 2),
        ):
            self._capture.set(setting, value)

    def grab(self) -> bool:
        """Wait for the next picture."""
        if not self._capture.grab():
            raise CameraAway(f"{self._device} was unplugged, or sent nothing for {self._timeout_ms} ms")
        return True

    def retrieve(self) -> Image:
        """Return the grabbed picture."""
        done, image = self._capture.retrieve()
        if not done:
            raise CameraAway(f"{self._device} sends pictures that cannot be decoded")
        return image.astype("uint8", copy=False)

    def close(self) -> None:
        """Let go of it."""
        self._capture.release()


def _check(device: Path) -> None:
    """Say what stands in the way, which OpenCV does not."""
    try:
        found = device.stat()
    except OSError as error:
        raise CameraAway(f"{device}: {error.strerror}; expected a USB camera to be plugged in") from None
    if not stat.S_ISCHR(found.st_mode):
        raise CameraAway(f"{device} is no device")
    if not os.access(device, os.R_OK | os.W_OK):
        try:
            group = grp.getgrgid(found.st_gid).gr_name
        except KeyError:
            group = str(found.st_gid)
        raise CameraAway(f"{device}: Permission denied; expected user {os.geteuid()} to be in the group {group}")
