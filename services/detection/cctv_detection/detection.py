"""What a detector says of a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

Task = Literal["objects", "faces"]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in whole pixels, inside its picture."""

    x: int
    y: int
    width: int
    height: int

    @classmethod
    def within(cls, size: tuple[int, int], left: float, top: float, right: float, bottom: float) -> Self:
        """Return the box between the corners, in pixels, as far as it is inside a picture of ``size`` (width, height).

        It has one pixel at least: a model may put a box beside the picture or make it thinner than a pixel.
        """
        x, across = _span(left, right, size[0])
        y, down = _span(top, bottom, size[1])
        return cls(x, y, across, down)


def _span(start: float, end: float, length: int) -> tuple[int, int]:
    first = min(max(round(start), 0), length - 1)
    return first, max(min(round(end), length) - first, 1)


@dataclass(frozen=True, slots=True)
class Detection:
    """One thing that was found; ``label`` is its class."""

    label: str
    score: float
    box: Box
