"""Footage as cameras: video files, and folders of stills."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2

from cctv_producer.image import Image
from cctv_producer.location import Location
from cctv_producer.pacing import Pause, Timetable
from cctv_producer.source import CameraAway, Unreadable

DEFAULT_FILE_FPS = 25.0


class LoopedVideo:
    """A video file, at its own speed, from the beginning again after its end."""

    codec = ""

    def __init__(self, path: Path, pause: Pause) -> None:
        self._path = path
        self._timetable = Timetable(pause)
        self._moment = 0.0  # of the grabbed frame, in seconds of the endless play
        self._round_began = 0.0
        self._open()

    def _open(self) -> None:
        self._capture = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        if not self._capture.isOpened():
            raise CameraAway(f"{self._path} is missing or no video")
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self._interval = 1 / (fps if 1 <= fps <= 240 else DEFAULT_FILE_FPS)
        self._first: float | None = None  # time stamp of the round's first frame

    def grab(self) -> bool:
        """Wait for the next picture."""
        while not self._capture.grab():
            if self._first is None:
                raise CameraAway(f"{self._path} has no frame that can be decoded")
            # Opened anew, not sought back: not every container can be sought in.
            self._capture.release()
            self._round_began = self._moment + self._interval
            self._open()
        timestamp = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if self._first is None:
            self._first = timestamp
            self._moment = self._round_began
        else:
            # Frames of a file of variable rate have times of their own; where there are none, the rate has to do.
            moment = self._round_began + timestamp - self._first
            self._moment = moment if moment > self._moment else self._moment + self._interval
        self._timetable.wait(self._moment)
        return True

    def retrieve(self) -> Image:
        """Return the grabbed picture."""
        done, image = self._capture.retrieve()
        if not done:
            raise CameraAway(f"{self._path} has frames that cannot be decoded")
        return image.astype("uint8", copy=False)

    def close(self) -> None:
        """Let go of it."""
        self._capture.release()


class Stills:
    """Pictures one after the other, over and over, ``fps`` of them a second."""

    codec = ""

    def __init__(self, location: Location, pause: Pause, fps: float) -> None:
        self._location = location
        self._timetable = Timetable(pause)
        self._interval = 1 / fps
        self._shown = 0
        self._bad = 0
        self._round: Iterator[Path] = iter(())
        self._image: Image | None = None

    def grab(self) -> bool:
        """Wait for the next picture."""
        self._timetable.wait(self._shown * self._interval)
        self._shown += 1
        path = self._next()
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            self._bad += 1
            raise Unreadable(f"{path} cannot be decoded")
        self._bad = 0
        self._image = image.astype("uint8", copy=False)
        return True

    def _next(self) -> Path:
        path = next(self._round, None)
        if path is not None:
            return path
        try:
            pictures = self._location.pictures()
        except OSError as error:
            raise CameraAway(f"{self._location.shown} cannot be read: {error.strerror}") from None
        if not pictures:
            raise CameraAway(f"{self._location.shown} holds no pictures")
        if self._bad >= len(pictures):
            raise CameraAway(f"{self._location.shown} holds no picture that can be decoded")
        self._round = iter(pictures)
        return next(self._round)

    def retrieve(self) -> Image:
        """Return the grabbed picture."""
        assert self._image is not None
        return self._image

    def close(self) -> None:
        """Let go of it."""
        self._image = None
