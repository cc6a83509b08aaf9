"""The checkout that is tested, and copies of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def tracked() -> list[Path]:
    """The files that git tracks, or would with the next `git add`, relative to ROOT."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    paths = sorted({Path(name) for name in listed.stdout.split("\0") if name})
    return [path for path in paths if (ROOT / path).is_symlink() or (ROOT / path).exists()]


def copy_to(folder: Path, *leave_out: str) -> Path:
    """Copy the tracked files, less the folders named, into ``folder``, which is made."""
    for path in tracked():
        if any(path.is_relative_to(left) for left in leave_out):
            continue
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, target, follow_symlinks=False)
    return folder
