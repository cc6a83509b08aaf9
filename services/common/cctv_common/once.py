"""Builds a folder once: whole or not at all, also when several try at the same time."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path


def ensure(final: Path, build: Callable[[Path], None], is_there: Callable[[Path], bool]) -> bool:
    """Have ``build`` fill a new folder, which then becomes ``final``, unless that ``is_there``.

    Returns whether it was built now.
    """
    beside = final.parent
    beside.mkdir(parents=True, exist_ok=True)
    with _locked(beside):
        for stale in beside.glob(".building-*"):  # of a build that was killed: the lock is ours
            shutil.rmtree(stale)
        if is_there(final):
            return False
        building = Path(tempfile.mkdtemp(prefix=".building-", dir=beside))
        try:
            build(building)
            building.chmod(0o755)
            building.rename(final)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
    return True


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
