"""Takes the JPEGs of `picture.encode` apart into rows of blocks, and puts such rows together.

Each row ends with a restart marker and so says nothing of its neighbours (ITU-T T.81, E.1.4 and F.1.1.5.1): rows that
do not change need neither be decoded nor encoded.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

import numpy as np

from cctv_common.picture import encode

ROW = 16
"""Pixels that a row of a picture in colour is high, as its chroma has half the height (4:2:0)."""

# Each has a zero where no table has one.
_FRAME_HEADER = b"\xff\xc0\x00\x11\x08"  # of three components with 8 bits each
_SCAN_HEADER = b"\xff\xda\x00\x0c\x03"
_MARKER = re.compile(rb"\xff[^\x00]")
_END = b"\xff\xd9"


class Rows(NamedTuple):
    """A JPEG of ``width`` x ``height`` pixels as its ``coded`` rows, from the top."""

    width: int
    height: int
    quality: int
    coded: list[bytes]

    @classmethod
    def of(cls, jpeg: bytes, quality: int) -> Rows | None:
        """Take ``jpeg`` apart; None unless it is what `picture.encode` makes of a picture in colour."""
        __, header, rest = jpeg[:1024].partition(_FRAME_HEADER)
        height, width = int.from_bytes(rest[:2], "big"), int.from_bytes(rest[2:4], "big")
        if not header or not 0 < width <= 65500 or not jpeg.endswith(_END):  # as wide as OpenCV encodes
            return None
        head = _head(width, height, quality)
        if not jpeg.startswith(head):
            return None
        end = len(jpeg) - len(_END)
        marks = [mark.start() for mark in _MARKER.finditer(jpeg, len(head), end)]
        if len(marks) != -(-height // ROW) - 1:
            return None
        if any(jpeg[mark + 1] != _restart(row) for row, mark in enumerate(marks)):
            return None
        starts = [len(head), *(mark + 2 for mark in marks)]
        return cls(width, height, quality, [jpeg[a:b] for a, b in zip(starts, [*marks, end], strict=True)])

    def below(self, row: int) -> Rows:
        """The picture that begins with this row."""
        return self._replace(height=self.height - row * ROW, coded=self.coded[row:])

    def jpeg(self) -> bytes:
        """Put the rows together."""
        parts = [_head(self.width, self.height, self.quality)]
        for row, coded in enumerate(self.coded):
            parts += (coded, bytes((0xFF, _restart(row))))
        parts[-1] = _END
        return b"".join(parts)


def _restart(row: int) -> int:
    return 0xD0 + row % 8


@functools.lru_cache(maxsize=256)
def _head(width: int, height: int, quality: int) -> bytes:
    # All but the height is the same for a picture of one row.
    jpeg = encode(np.zeros((ROW, width, 3), np.uint8), quality)
    at = jpeg.index(_FRAME_HEADER) + len(_FRAME_HEADER)
    end = jpeg.index(_SCAN_HEADER, at)
    length = 2 + int.from_bytes(jpeg[end + 2 : end + 4], "big")
    return jpeg[:at] + height.to_bytes(2, "big") + jpeg[at + 2 : end + length]
