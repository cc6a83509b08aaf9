"""What looks for objects or faces in a picture: a small class behind one interface, chosen by name.

A detector is loaded once per process and used by one thread at a time.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Protocol

from cctv_common.picture import Picture

from cctv_detection.detection import Detection, Task
from cctv_detection.detectors.models import CannotLoad

__all__ = ["NAMES", "NONE", "CannotLoad", "Detector", "load"]

NONE = "none"
"""The name by which no faces are looked for."""

NAMES: dict[Task, tuple[str, ...]] = {"objects": ("centernet",), "faces": ("blazeface", "haar", NONE)}
"""The detectors of each task, the default first; a detector's module here has its name."""


class Detector(Protocol):
    """Finds what it was trained for in one picture."""

    task: Task
    name: str
    version: str
    """Of the model: whatever changes its answers changes it."""

    def detect(self, picture: Picture) -> list[Detection]:
        """Say what is in ``picture``, boxes inside of it, the surest first."""


def load(name: str, folder: Path, *, threads: int = 1, min_score: float | None = None) -> Detector | None:
    """Return the detector ``name``, of the models that `cctv-build-detectors` has put into ``folder``; none for "none".

    ``min_score`` is the least score that counts, by default the detector's own. Raises CannotLoad, and ValueError for
    a name that there is not.
    """
    if name == NONE:
        return None
    known = [name for names in NAMES.values() for name in names]
    if name not in known:
        raise ValueError(f"there is no detector {name!r}, only {', '.join(known)}")
    module = importlib.import_module(f"{__name__}.{name}")
    detector: Detector = module.load(folder, threads=threads, min_score=min_score)
    return detector
