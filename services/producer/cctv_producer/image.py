"""What is done to a picture before it is sent: pure functions on BGR arrays of shape (height, width, 3), uint8."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]

_ROTATIONS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


class Box(NamedTuple):
    """A rectangle in fractions of a picture's width and height.

    Fractions and not pixels: a camera that changes its resolution must not move what a privacy mask covers.
    """

    x: float
    y: float
    width: float
    height: float


def parse_box(text: str) -> Box:
    """Read ``x,y,width,height``; raises ValueError unless it is a rectangle within the picture."""
    try:
        box = Box(*(float(number) for number in text.split(",")))
    except (TypeError, ValueError):
        raise ValueError(f"{text!r} is no rectangle; expected four numbers x,y,width,height") from None
    if not all(0 <= number <= 1 for number in box):
        raise ValueError(f"{text!r} has a number outside 0..1; expected fractions of the picture's width and height")
    # A millionth: 0.7 + 0.3 and the like may come out above 1.
    if box.width == 0 or box.height == 0 or box.x + box.width > 1 + 1e-6 or box.y + box.height > 1 + 1e-6:
        raise ValueError(f"{text!r} is empty or reaches beyond the picture; expected x+width and y+height up to 1")
    return box


@dataclass(frozen=True)
class Operations:
    """Masks, crop, rotation, size and colour, applied in this order; the first two are meant in the camera's picture.

    ``rotate`` is clockwise, in degrees (0, 90, 180, 270). ``width`` is the most pixels that the result is wide, 0 for
    any: pictures are made smaller and never larger.
    """

    masks: tuple[Box, ...] = ()
    crop: Box | None = None
    rotate: int = 0
    width: int = 0
    grayscale: bool = False

    def apply(self, image: Image) -> Image:
        """Return the picture to send: shape (height, width, 3), or (height, width) when ``grayscale``.

        ``image`` is the caller's to give away: masks are painted into it.
        """
        for mask in self.masks:
            left, top, right, bottom = _outer(mask, image)
            image[top:bottom, left:right] = 0
        if self.crop:
            left, top, right, bottom = _nearest(self.crop, image)
            image = image[top:bottom, left:right]
        if self.rotate:
            image = _u8(cv2.rotate(image, _ROTATIONS[self.rotate]))
        if 0 < self.width < image.shape[1]:
            height = max(1, round(image.shape[0] * self.width / image.shape[1]))
            image = _u8(cv2.resize(image, (self.width, height), interpolation=cv2.INTER_AREA))
        if self.grayscale:
            image = _u8(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))
        return image


def _outer(box: Box, image: Image) -> tuple[int, int, int, int]:
    # Whole pixels outwards: not a column of what is to be hidden may stay visible.
    height, width = image.shape[:2]
    return (
        math.floor(box.x * width),
        math.floor(box.y * height),
        math.ceil((box.x + box.width) * width),
        math.ceil((box.y + box.height) * height),
    )


def _nearest(box: Box, image: Image) -> tuple[int, int, int, int]:
    height, width = image.shape[:2]
    left = min(round(box.x * width), width - 1)
    top = min(round(box.y * height), height - 1)
    return (
        left,
        top,
        max(left + 1, round((box.x + box.width) * width)),
        max(top + 1, round((box.y + box.height) * height)),
    )


def _u8(image: object) -> Image:
    # OpenCV's stubs know only "an array"; these operations keep uint8.
    assert isinstance(image, np.ndarray)
    return image
