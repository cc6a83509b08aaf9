"""The detectors with their true weights, and photos of which everybody sees what is in them."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
from cctv_common.picture import Picture
from cctv_detection import build, detectors, tfjs
from cctv_detection.detectors import Detector, models


@pytest.fixture(scope="session")
def folder() -> Path:
    """What `cctv-build-detectors` writes; kept, as it fetches 145 MB."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cctv-pipeline-tests" / "detectors"
    made_by = [build, tfjs, models]
    inputs = b"".join(Path(str(module.__file__)).read_bytes() for module in made_by) + repr(build.sources()).encode()
    folder = cache / hashlib.sha256(inputs).hexdigest()[:12]
    build.ensure(folder)
    return folder


@pytest.fixture(scope="session")
def centernet(folder: Path) -> Detector:
    found = detectors.load("centernet", folder)
    assert found
    return found


@pytest.fixture(scope="session")
def blazeface(folder: Path) -> Detector:
    found = detectors.load("blazeface", folder)
    assert found
    return found


@pytest.fixture(scope="session")
def photo() -> Callable[[str], Picture]:
    """Reads a photo by its name."""

    def read(name: str) -> Picture:
        if name == "bus.jpg":
            path = Path(str(importlib.metadata.distribution("ultralytics").locate_file("ultralytics/assets/bus.jpg")))
        else:
            spec = importlib.util.find_spec("skimage")
            assert spec and spec.submodule_search_locations, "expected the wheel scikit-image to be installed"
            path = Path(spec.submodule_search_locations[0], "data", name)
        picture = cv2.imread(str(path))
        assert picture is not None, path
        return picture  # type: ignore[return-value]

    return read
