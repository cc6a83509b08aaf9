"""What podman knows of the tests' containers."""

from __future__ import annotations

import subprocess


def podman(*arguments: str) -> list[str]:
    """The lines that podman prints."""
    return subprocess.run(["podman", *arguments], check=True, capture_output=True, text=True).stdout.splitlines()
