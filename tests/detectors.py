"""The models of the detectors, built once for all tests."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def built() -> Path:
    """CCTV_DETECTORS, or what `cctv-build-detectors` writes; kept, as it fetches 145 MB."""
    if named := os.environ.get("CCTV_DETECTORS"):
        return Path(named)
    from cctv_detection import build, tfjs
    from cctv_detection.detectors import models

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cctv-pipeline-tests" / "detectors"
    made_by = [build, tfjs, models]
    inputs = b"".join(Path(str(module.__file__)).read_bytes() for module in made_by) + repr(build.sources()).encode()
    folder = cache / hashlib.sha256(inputs).hexdigest()[:12]
    build.ensure(folder)
    return folder
