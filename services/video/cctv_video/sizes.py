"""Smaller pictures, for small tiles and thin lines: one of each picture and width, whoever looks at it.

Made when somebody is ready for it, beside the event loop. While one is made the camera goes on, and the next is made
of what is its newest picture then.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from cctv_common.jpeg import BadFrame
from cctv_common.picture import encode

from cctv_video.picture import Picture

WIDTHS = (160, 240, 320, 480, 640, 960, 1280, 1920)
"""Whatever widths viewers ask for, no others are made."""
QUALITY = 75
_REDUCED = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}


def rung(width: int) -> int | None:
    """The width that is made for who asks for ``width``; None for pictures as they are."""
    return next((made for made in WIDTHS if made >= width), None)


def smaller(picture: Picture, width: int) -> Picture:
    """The picture at ``width`` pixels; as it is where its pixels cannot be decoded, which is for browsers to say."""
    # A decoder that makes an eighth, a quarter or half of the pixels has less to do.
    flag = next((flag for by, flag in _REDUCED.items() if picture.width // by >= width), cv2.IMREAD_COLOR)
    try:
        pixels = cv2.imdecode(np.frombuffer(picture.jpeg, np.uint8), flag)
        if pixels is None:
            return picture
        size = (width, max(1, round(pixels.shape[0] * width / pixels.shape[1])))
        return picture.resized(encode(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), QUALITY), width)  # type: ignore[arg-type]
    except (cv2.error, BadFrame):
        return picture


class Sizes:
    """Used on the event loop only; ``made`` is told of each picture, with the width that was asked for."""

    def __init__(self, made: Callable[[Picture, int], None]) -> None:
        self._made = made
        self._newest: dict[tuple[str, int], Picture] = {}
        self._making: dict[tuple[str, int], asyncio.Future[Picture]] = {}
        self._threads = ThreadPoolExecutor(min(4, os.cpu_count() or 1), "sizes")

    def ready(self, picture: Picture, width: int) -> Picture | None:
        """This very picture at ``width`` pixels, if it was made."""
        if picture.width <= width:
            return picture
        found = self._newest.get((picture.camera, width))
        return found if found is not None and found.key == picture.key else None

    def make(self, picture: Picture, width: int) -> asyncio.Future[Picture]:
        """Have it made, unless an earlier one still is: that one comes then."""
        what = picture.camera, width
        if what not in self._making:
            making = asyncio.get_running_loop().run_in_executor(self._threads, smaller, picture, width)
            self._making[what] = making
            making.add_done_callback(lambda done: self._done(what, done))
        return self._making[what]

    def forget(self, camera: str) -> None:
        """Let go of a camera's pictures."""
        for what in [what for what in self._newest if what[0] == camera]:
            del self._newest[what]

    def _done(self, what: tuple[str, int], done: asyncio.Future[Picture]) -> None:
        del self._making[what]
        if not done.cancelled():
            self._newest[what] = done.result()
            self._made(done.result(), what[1])

    def close(self) -> None:
        """Make no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)
