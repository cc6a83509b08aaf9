"""The detectors with their true weights, and photos of which everybody sees what is in them."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
from cctv_common.picture import Picture
from cctv_detection import detectors
from cctv_detection.detectors import Detector
from detectors import built


@pytest.fixture(scope="session")
def folder() -> Path:
    """What `cctv-build-detectors` writes."""
    return built()


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
def haar(folder: Path) -> Detector:
    found = detectors.load("haar", folder)
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
