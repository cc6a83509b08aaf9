"""Pictures of the image store: never one of another place, and never a wait for a store that hangs."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cctv_common.images import IMAGE_PATH, MARKER

MAX_BYTES = 64 * 1024 * 1024
T = TypeVar("T")


class Away(Exception):
    """The store cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture, or with ``content=None`` one that its reader has already."""

    content: bytes | None
    etag: str
    modified: float


class Pictures:
    """The store's pictures, read by threads of their own: a network file system may answer late, or never."""

    def __init__(self, folder: Path, timeout_s: float = 3.0, threads: int = 8) -> None:
        self._folder = folder
        self._timeout_s = timeout_s
        self._threads = ThreadPoolExecutor(threads, "pictures")

    async def read(self, path: str, known: Callable[[str], bool] = lambda __: False) -> Picture | None:
        """Return the picture, without its content when ``known(etag)``; None for none. Raises Away."""
        return await self._run(lambda: read(self._folder, path, known)) if IMAGE_PATH.fullmatch(path) else None

    async def check(self) -> None:
        """Raise Away unless the store can be read."""
        await self._run(lambda: check(self._folder))

    async def _run(self, work: Callable[[], T]) -> T:
        # What has not begun in time never will: waiting requests do not pile up behind threads that hang.
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except TimeoutError:
            raise Away(f"no answer within {self._timeout_s:g} s") from None


def check(folder: Path) -> None:
    """Raise Away unless ``folder`` is the store, and not the empty folder that it is mounted on."""
    place = _open_folder(folder)
    try:
        os.stat(MARKER, dir_fd=place)
    except OSError as error:
        raise Away(f"{folder / MARKER}: {error.strerror}") from None
    finally:
        os.close(place)


def read(folder: Path, path: str, known: Callable[[str], bool]) -> Picture | None:
    """Read a picture below ``folder``. No step follows a symbolic link, whoever put it there."""
    place = _open_folder(folder)
    try:
        *parents, name = path.split("/")
        for parent in parents:
            inside = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place)
            os.close(place)
            place = inside
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=place)
    except OSError as error:
        # Also for a link (ELOOP) and for a file where a folder should be: there is no such picture.
        if isinstance(error, FileNotFoundError | NotADirectoryError) or error.errno == errno.ELOOP:
            return None
        raise Away(error.strerror or str(error)) from None
    finally:
        os.close(place)
    try:
        about = os.fstat(file)
        if not stat.S_ISREG(about.st_mode) or about.st_size > MAX_BYTES:
            return None
        etag = f'"{about.st_mtime_ns:x}-{about.st_size:x}"'
        with open(file, "rb", closefd=False) as opened:
            return Picture(None if known(etag) else opened.read(), etag, about.st_mtime)
    except OSError as error:
        raise Away(error.strerror or str(error)) from None
    finally:
        os.close(file)


def _open_folder(folder: Path) -> int:
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise Away(f"{folder}: {error.strerror}") from None
