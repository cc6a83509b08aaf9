"""A machine that lacks something is told what to install, one line each, before anything is made."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import checkout


def find(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [checkout.ROOT / "tools/find-python"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def program(path: Path, lines: str) -> str:
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o755)
    return str(path)


def python(path: Path, version: str, venv: bool = True) -> str:
    """A Python that knows its version, whether it has the module, and that it is Debian's."""
    return program(
        path,
        f'case "$2" in *version*) echo {version} ;; *venv*) exit {int(not venv)} ;; *prefix*) echo /usr ;; esac',
    )


def test_a_fitting_python_is_taken(tmp_path: Path) -> None:
    found = find(tmp_path, PYTHON=sys.executable)
    assert (found.returncode, found.stdout.strip(), found.stderr) == (0, sys.executable, "")


def test_a_python_without_venv(tmp_path: Path) -> None:
    found = find(tmp_path, PYTHON=python(tmp_path / "python", "3.12", venv=False))
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr == f"{tmp_path}/python lacks its venv module: apt install python3.12-venv.\n"


def test_a_python_that_is_too_old_or_too_new(tmp_path: Path) -> None:
    for version in ("3.10", "3.14"):
        found = find(tmp_path, PYTHON=python(tmp_path / "python", version))
        assert (found.returncode, found.stdout) == (1, "")
        (line,) = found.stderr.splitlines()
        assert line.startswith(f"This needs Python 3.11, 3.12 or 3.13 ({tmp_path}/python is {version}): apt install ")


def test_another_processor(tmp_path: Path) -> None:
    program(tmp_path / "uname", 'case "$1" in -s) echo Linux ;; -m) echo aarch64 ;; *) echo Linux aarch64 ;; esac')
    found = find(tmp_path, PYTHON=python(tmp_path / "python", "3.12"))
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr == "This needs Linux on x86-64; this machine is Linux on aarch64.\n"
