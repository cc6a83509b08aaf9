"""What an open camera is to the reader."""

from __future__ import annotations

from typing import Protocol

from cctv_producer.image import Image


class CameraAway(Exception):
    """There are no pictures to be had from the camera now; the message says why, and holds no secret."""


class Unreadable(Exception):
    """One picture is none; the next may be."""


class Source(Protocol):
    """An open camera. Both methods raise CameraAway; once they did, only ``close`` makes sense.

    Both raise Unreadable, too, for a picture that came and cannot be had.
    """

    codec: str
    """How its pictures are encoded."""

    def grab(self) -> bool:
        """Wait for the next picture, whose time is now; whether it may be asked for."""

    def retrieve(self) -> Image:
        """Return the grabbed picture, BGR of shape (height, width, 3); to be asked for at most once a picture."""

    def close(self) -> None:
        """Let go of the camera."""
