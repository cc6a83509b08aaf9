"""What can be told of a camera by its pictures alone: that it is frozen, that it shows nothing but grey."""

from __future__ import annotations

import numpy as np

from cctv_producer.image import Image

POINTS = 160
"""A picture is looked at in about so many columns and rows at most."""
SAME = 0.5
"""Mean difference of two pictures, of 255, up to which they are one: what encoding one picture twice may change."""
GREY, GREY_WITHIN, GREY_SHARE = 129, 3, 0.6
"""Decoders fill with 128, which is 130 where 16 is black; the share of a picture that this makes a grey one."""
GREY_HELD_S = 10.0
GREY_BELIEVED_S = 60.0


def points(image: Image) -> Image:
    """Return pixels of the picture in even distances: cheap to compare, and their noise is not averaged away."""
    height, width = image.shape[:2]
    return image[:: -(-height // POINTS), :: -(-width // POINTS)].copy()


class Frozen:
    """Tells whether a camera has shown one and the same picture for ``after_s`` seconds, 0 for never.

    A picture is compared with the one that began the stretch, not with the one before, or dusk would pass as frozen.
    """

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._first: Image | None = None
        self._since = 0.0
        self._seen = 0

    def shows(self, seen: Image, now: float) -> float:
        """Return for how many seconds the camera was frozen when it showed this at ``now``, 0 if it is not."""
        if not self._after_s:
            return 0.0
        if self._first is None or not _same(self._first, seen):
            self._first, self._since, self._seen = seen, now, 0
        self._seen += 1
        frozen_s = now - self._since
        # Two alike say little where hours lie between them.
        return frozen_s if self._seen > 2 and frozen_s >= self._after_s else 0.0


class Grey:
    """Tells whether a picture is one of those of nothing but grey that decoders and cameras give before they have one.

    They are held back, but not for long: after ``GREY_HELD_S`` seconds of them grey is what there is to be seen, as
    through a covered lens, and stays so until none was seen for ``GREY_BELIEVED_S``.
    """

    def __init__(self) -> None:
        self._since: float | None = None
        self._believed_until = 0.0
        self.seen = False

    def holds(self, seen: Image, now: float) -> bool:
        """Whether the picture of ``now`` is grey, and not to be sent; ``self.seen``: whether it is grey."""
        self.seen = _is_grey(seen)
        if not self.seen:
            self._since = None
            return False
        if self._since is None:
            self._since = now
        if now - self._since > GREY_HELD_S or now < self._believed_until:
            self._believed_until = now + GREY_BELIEVED_S
            return False
        return True


def _same(one: Image, other: Image) -> bool:
    if one.shape != other.shape:
        return False
    return bool(np.abs(one.astype(np.int16) - other).mean() <= SAME)


def _is_grey(seen: Image) -> bool:
    grey = np.abs(seen.astype(np.int16) - GREY).max(axis=2) <= GREY_WITHIN
    return bool(grey.mean() >= GREY_SHARE)
