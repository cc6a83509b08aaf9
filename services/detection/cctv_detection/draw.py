"""Draws what was found onto a picture, and makes faces unrecognizable."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Sequence

import cv2
from cctv_common.picture import Picture

from cctv_detection.detection import Box, Detection

FACE = (255, 255, 255)
COLOURS = ((80, 200, 60), (60, 180, 250), (240, 150, 60), (200, 90, 220), (70, 220, 220), (110, 110, 250))
"""Of objects' boxes by their class; blue, green, red."""
INK = (0, 0, 0)

CELL = 12
"""Least pixels, each way, that become one colour of a blurred face."""
CELLS = 4
"""Most colours, each way, that remain of a blurred face."""
MARGIN = 0.3
"""How much is blurred around a face's box, as a part of the box: hair, chin and ears tell, too."""

_FONT = cv2.FontFace("sans")
_FONT_LOCK = threading.Lock()  # FontFace keeps a glyph cache of its own


def blur(picture: Picture, faces: Sequence[Box]) -> None:
    """Replace each face in ``picture`` by a few mean colours, at most `CELLS` by `CELLS` of them.

    A Gaussian blur can be reckoned back, and a fine mosaic be recognized; what is gone here is gone.
    """
    height, width = picture.shape[:2]
    for face in faces:
        across, down = round(face.width * MARGIN), round(face.height * MARGIN)
        left, right = max(face.x - across, 0), min(face.x + face.width + across, width)
        top, bottom = max(face.y - down, 0), min(face.y + face.height + down, height)
        part = picture[top:bottom, left:right]
        cells = tuple(max(1, min(CELLS, side // CELL)) for side in (right - left, bottom - top))
        few = cv2.resize(part, cells, interpolation=cv2.INTER_AREA)
        part[:] = cv2.resize(few, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)


def boxes(picture: Picture, objects: Sequence[Detection], faces: Sequence[Detection]) -> None:
    """Draw a box around everything that was found, and write an object's class and score at its box."""
    height, width = picture.shape[:2]
    thickness = max(1, round(min(height, width) / 300))
    for face in faces:
        _rectangle(picture, face.box, FACE, thickness)
    for found in reversed(objects):  # the surest lie on top
        colour = COLOURS[zlib.crc32(found.label.encode()) % len(COLOURS)]
        _rectangle(picture, found.box, colour, thickness)
        _label(picture, found, colour)


def _rectangle(picture: Picture, box: Box, colour: tuple[int, int, int], thickness: int) -> None:
    cv2.rectangle(picture, (box.x, box.y), (box.x + box.width - 1, box.y + box.height - 1), colour, thickness)


def _label(picture: Picture, found: Detection, colour: tuple[int, int, int]) -> None:
    height, width = picture.shape[:2]
    size = max(9, min(28, round(height / 28)))
    tall = round(size * 1.4)
    text = f"{found.label} {found.score:.0%}"
    with _FONT_LOCK:
        __, __, wide, __ = cv2.getTextSize((1, 1), text, (0, 0), _FONT, size)
        wide = round(wide) + size // 2
        if wide > width or tall > height:
            return
        # Above the box where there is room, else inside of it; never out of the picture.
        left = min(found.box.x, width - wide)
        top = found.box.y - tall if found.box.y >= tall else min(found.box.y, height - tall)
        cv2.rectangle(picture, (left, top), (left + wide - 1, top + tall - 1), colour, cv2.FILLED)
        cv2.putText(picture, text, (left + size // 4, top + round(size * 1.05)), INK, _FONT, size)
