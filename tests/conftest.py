from __future__ import annotations

import subprocess
from pathlib import Path

import checkout
import pytest


@pytest.fixture(scope="session")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The collection's tarball, of the files that git tracks."""
    source = checkout.copy_to(tmp_path_factory.mktemp("tarball") / "source")
    subprocess.run(
        ["ansible-galaxy", "collection", "build", "--output-path", str(source.parent)], cwd=source, check=True
    )
    (built,) = source.parent.glob("cctv-pipeline-*.tar.gz")
    return built
