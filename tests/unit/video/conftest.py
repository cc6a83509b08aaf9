from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from cctv_common.frames import Frame, Prediction

JPEG = cv2.imencode(".jpg", np.zeros((6, 8, 3), np.uint8))[1].tobytes()


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def ms(self) -> float:
        return self.now * 1000


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def frame(clock: Clock) -> Callable[..., Frame]:
    """Makes frames that are captured now."""

    def make(camera: str = "gate", number: int = 0, epoch: int = 1, age_ms: int = 0, label: str = "") -> Frame:
        said = (Prediction("imagenet", label, 0.75),) if label else ()
        return Frame(camera, epoch, number, int(clock.ms()) - age_ms, 8, 6, JPEG, said)

    return make
