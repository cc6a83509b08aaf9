"""The models of the detectors, and the Python of the service that runs them: made once for all tests."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

SERVICE = Path(__file__).resolve().parents[1] / "services" / "detection"


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cctv-pipeline-tests"


def built() -> Path:
    """CCTV_DETECTORS, or what `cctv-build-detectors` writes; kept, as it fetches 145 MB."""
    if named := os.environ.get("CCTV_DETECTORS"):
        return Path(named)
    from cctv_detection import build, tfjs
    from cctv_detection.detectors import models

    made_by = [build, tfjs, models]
    inputs = b"".join(Path(str(module.__file__)).read_bytes() for module in made_by) + repr(build.sources()).encode()
    folder = _cache() / "detectors" / hashlib.sha256(inputs).hexdigest()[:12]
    build.ensure(folder)
    return folder


def python() -> Path:
    """CCTV_DETECTION_PYTHON, or one made from the service's locked requirements; kept, as it takes minutes."""
    if named := os.environ.get("CCTV_DETECTION_PYTHON"):
        return Path(named)
    locks = [SERVICE / "requirements.txt", SERVICE / "requirements-spark.txt"]
    said = b"".join(lock.read_bytes() for lock in locks) + sys.version.encode()
    folder = _cache() / "detection-venv" / hashlib.sha256(said).hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    with (_cache() / "detection-venv.lock").open("w") as held:
        # The first of several test processes makes it for all.
        fcntl.flock(held, fcntl.LOCK_EX)
        if not (folder / ".complete").exists():
            venv.create(folder, with_pip=True)
            for lock, more in zip(locks, ([], ["--no-build-isolation"]), strict=True):
                pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
                subprocess.run([*pip, "--no-deps", "--require-hashes", *more, "--requirement", lock], check=True)
            (folder / ".complete").touch()
    return folder / "bin" / "python"
