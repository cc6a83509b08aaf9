"""Boxes that mean the same thing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def groups(boxes: Floats, scores: Floats, threshold: float) -> list[npt.NDArray[np.intp]]:
    """Group ``boxes`` (n x 4: left, top, right, bottom): each box is with the surest that it overlaps.

    The surest of a group is its first; the surest group is the first. Boxes overlap when their intersection is more
    than ``threshold`` of their union.
    """
    found = []
    left = np.argsort(-scores, kind="stable")
    while left.size:
        together = _intersection_over_union(boxes[left[0]], boxes[left]) > threshold
        together[0] = True  # an empty box does not even overlap itself
        found.append(left[together])
        left = left[~together]
    return found


def _intersection_over_union(box: Floats, boxes: Floats) -> Floats:
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    shared = np.prod(np.maximum(sides, 0), axis=1)
    union = np.prod(box[2:] - box[:2]) + np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) - shared
    ratio: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return ratio
