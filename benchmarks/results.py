"""RESULTS.md: one section for each thing measured, with when, at which commit and on what."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEFAULT = ROOT / "benchmarks/RESULTS.md"
INTRODUCTION = """# Results

Written by `make bench` and the other targets whose names begin with it (`make help` lists them). The machine is shared,
so ratios within one run say more than single figures.
"""


def machine() -> str:
    """What it ran on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return f"{os.cpu_count()} cores of {model}, Linux {platform.release()}, Python {platform.python_version()}"


def commit() -> str:
    """What was measured."""
    git = ["git", "-c", "safe.directory=*", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False)
    if head.returncode:
        # An installed collection, or a copy of a checkout.
        return "unknown"
    dirty = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    return head.stdout.strip() + (" with uncommitted changes" if dirty.strip() else "")


def write(results: Path, title: str, body: str) -> None:
    """Put a section into ``results``; what earlier runs wrote of other things stays."""
    text = results.read_text() if results.exists() else ""
    sections = {name: old.strip() for name, __, old in (part.partition("\n") for part in text.split("\n## ")[1:])}
    sections[title] = f"{body}\n\n*{time.strftime('%Y-%m-%d')}, commit {commit()}, {machine()}*"
    results.write_text(INTRODUCTION + "".join(f"\n## {name}\n\n{old}\n" for name, old in sections.items()))
