"""Reads a JPEG's header without decoding its pixels, so that a bad frame costs microseconds and never memory."""

from __future__ import annotations

from typing import Literal

Cause = Literal["too_large", "not_jpeg", "truncated", "bomb", "missing_header", "bad_header"]

MAX_PIXELS = 7680 * 4320
"""Frames with more pixels than 8K UHD are taken for decompression bombs."""

_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_STANDALONE = frozenset(range(0xD0, 0xD8)) | {0x01}


class BadFrame(ValueError):
    """A record that is no frame; ``cause`` is the label under which it is counted."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause: Cause = cause


def dimensions(data: bytes, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Return ``(width, height)`` in pixels of a complete JPEG (ITU-T T.81, annex B).

    Raises BadFrame: ``not_jpeg`` without a start marker or frame header, ``truncated`` without an
    end-of-image marker, ``bomb`` with more than ``max_pixels`` pixels or none.
    """
    if data[:2] != b"\xff\xd8":
        raise BadFrame("not_jpeg", "does not begin with a JPEG start-of-image marker")
    # Cameras pad behind the end marker; more than a little padding is not an image's end.
    if data.rfind(b"\xff\xd9", max(2, len(data) - 64)) < 0:
        raise BadFrame("truncated", "has no end-of-image marker")
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            raise BadFrame("not_jpeg", f"has no marker at byte {position}")
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
        elif marker in _STANDALONE:
            position += 2
        elif marker in _START_OF_FRAME:
            if position + 9 > len(data):
                break
            height = int.from_bytes(data[position + 5 : position + 7], "big")
            width = int.from_bytes(data[position + 7 : position + 9], "big")
            if not 0 < width * height <= max_pixels:
                raise BadFrame("bomb", f"says it is {width}x{height} pixels, at most {max_pixels} are taken")
            return width, height
        elif marker in (0xD9, 0xDA):  # pixels, or the end, before any frame header
            raise BadFrame("not_jpeg", "has no frame header before its data")
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    raise BadFrame("truncated", "ends before its frame header")
