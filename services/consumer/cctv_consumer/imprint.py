"""Writes what the models say onto the picture that they said it of."""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence

import cv2
import numpy as np
from cctv_common.frames import Prediction
from cctv_common.picture import Picture, decode, encode
from cctv_common.rows import ROW, Rows

TEXT = (255, 255, 255)
FAILED_TEXT = (110, 190, 255)  # amber, in OpenCV's order blue, green, red
FAILED_BAR = (0, 60, 200)
DIM = 0.25
SMALLEST_TEXT = 9
"""Letters of fewer pixels cannot be read."""

_FONT = cv2.FontFace("sans")
_FONT_LOCK = threading.Lock()  # FontFace keeps a glyph cache of its own


def imprint(jpeg: bytes, predictions: Sequence[Prediction], quality: int) -> bytes:
    """Return ``jpeg`` with a strip at its bottom that says what ``predictions`` say; same size in pixels.

    A producer's frame of this ``quality`` keeps all but the strip as it is; others are encoded anew. Raises BadFrame
    when the pixels cannot be decoded.
    """
    whole = Rows.of(jpeg, quality) if predictions else None
    if whole is None:
        picture = decode(jpeg)
        draw(picture, predictions)
        return encode(picture, quality)
    strip = _strip_of(whole.width, whole.height, predictions)
    above = (whole.height - len(strip)) // ROW
    part = decode(whole.below(above).jpeg())
    _lay(strip, part)
    below = Rows.of(encode(part, quality), quality)
    assert below
    return whole._replace(coded=whole.coded[:above] + below.coded).jpeg()


def draw(picture: Picture, predictions: Sequence[Prediction]) -> None:
    """Dim a strip at the bottom of ``picture`` (height x width x 3) and write one line per prediction on it."""
    if predictions:
        height, width = picture.shape[:2]
        _lay(_strip_of(width, height, predictions), picture)


def _lay(strip: Picture, picture: Picture) -> None:
    part = picture[len(picture) - len(strip) :]
    cv2.addWeighted(part, DIM, strip, 1.0, 0.0, dst=part)


def _strip_of(width: int, height: int, predictions: Sequence[Prediction]) -> Picture:
    return _strip(width, height, tuple((line(p), bool(p.error)) for p in predictions))


def line(prediction: Prediction) -> str:
    """What the strip says of one prediction."""
    if prediction.error:
        return f"{prediction.model}: {prediction.error}"
    return f"{prediction.label} {prediction.probability:.0%}"


@functools.lru_cache(maxsize=256)
def _strip(width: int, height: int, lines: tuple[tuple[str, bool], ...]) -> Picture:
    """Draw the lines on black, to be added to the dimmed picture; cached, as frames of one scene say the same."""
    size = max(SMALLEST_TEXT, min(40, round(height / 16)))
    pitch = round(size * 1.5)
    lines = lines[: max(1, height // pitch)]
    strip: Picture = np.zeros((min(height, pitch * len(lines)), width, 3), np.uint8)
    margin = max(2, size // 3)
    with _FONT_LOCK:
        for number, (text, failed) in enumerate(lines):
            if failed:
                cv2.rectangle(strip, (0, number * pitch), (margin // 2, (number + 1) * pitch), FAILED_BAR, -1)
            base = number * pitch + round(size * 1.1)
            text, fitting = _fit(text, size, width - 2 * margin)
            cv2.putText(strip, text, (margin, base), FAILED_TEXT if failed else TEXT, _FONT, fitting)
    strip.flags.writeable = False
    return strip


def _fit(text: str, size: int, room: int) -> tuple[str, int]:
    """Make the letters smaller, then the words shorter, until they fit ``room`` pixels; the number at the end stays."""
    while size > SMALLEST_TEXT and _width(text, size) > room:
        size -= 1
    head, __, tail = text.rpartition(" ")
    while len(head) > 1 and _width(text, size) > room:
        head = head[:-1]
        text = f"{head.rstrip()}… {tail}"
    return text, size


def _width(text: str, size: int) -> int:
    __, __, width, __ = cv2.getTextSize((1, 1), text, (0, 0), _FONT, size)
    return int(width)
