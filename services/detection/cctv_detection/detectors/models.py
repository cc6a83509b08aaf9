"""Where the models' files are that `cctv-build-detectors` makes."""

from __future__ import annotations

from pathlib import Path

VERSION = "2"
"""To be raised with any change that changes what is built, so that an upgrade builds anew beside the old ones."""

CENTERNET = "centernet.onnx"
BLAZEFACE = "blazeface.tflite"
HAAR = "haar.xml"
FILES = (CENTERNET, BLAZEFACE, HAAR)


class CannotLoad(Exception):
    """What is wrong with a model's file, in one line."""


def find(folder: Path, file: str) -> Path:
    """Return the path of one of `FILES`; raises CannotLoad where it is not."""
    path = folder / VERSION / file
    if not path.is_file():
        raise CannotLoad(f"{path} is not there; expected: what `cctv-build-detectors {folder}` writes")
    return path
