from __future__ import annotations

import gc
from pathlib import Path

import pytest
import serving_models


@pytest.fixture(scope="session")
def half_plus_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel, to be linked as a version of a model."""
    gc.freeze()  # as the server does, which looks for garbage after each model that goes
    return serving_models.half_plus_two(tmp_path_factory.mktemp("half_plus_two") / "model")
