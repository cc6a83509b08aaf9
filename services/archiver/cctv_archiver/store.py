"""The image store: a folder in which a picture, once it is said to be there, stays whatever is cut off.

Everything is done relative to the folder as it was opened when its marker was seen: a store that is unmounted meanwhile
is never mistaken for the folder below its mount.
"""

from __future__ import annotations

import errno
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from cctv_common.frames import CAMERA_ID
from cctv_common.images import MARKER

from cctv_archiver.ledger import Ledger

Reason = Literal["absent", "full", "read_only", "denied", "failing", "silent"]
REASONS: tuple[Reason, ...] = ("absent", "full", "read_only", "denied", "failing", "silent")

_REASON_OF: dict[int, Reason] = {
    errno.ENOSPC: "full",
    errno.EDQUOT: "full",
    errno.EROFS: "read_only",
    errno.EACCES: "denied",
    errno.EPERM: "denied",
    errno.ENODEV: "absent",
    errno.ENOTCONN: "absent",
    errno.ESTALE: "absent",
}
AT_ONCE = 8
"""Files that are written side by side: a disk or an NFS server makes several durable in the time of one."""
TEMPORARY = ".new-"
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
HOUR = re.compile(r"[01]\d|2[0-3]")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Unusable(Exception):
    """The store cannot be used now; ``reason`` is the label under which that is counted."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason


class Image(NamedTuple):
    """A picture, and its path below the store."""

    path: str
    content: bytes


class Store:
    """Writes pictures, and removes hours of them."""

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self._folder = folder
        self._ledger = ledger
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="write")
        # Held while names change, so that what is measured is what is there.
        self._names = threading.Lock()
        self._being_written: set[str] = set()
        # Folders that are there for good, by their names in those above.
        self._known: set[str] = set()

    def found(self) -> None:
        """Mark the folder as the store; to be called only when no picture was ever written."""
        with self._told(), _opened(self._folder) as root:
            with suppress(FileExistsError):
                os.close(os.open(MARKER, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640, dir_fd=root))
            os.fsync(root)

    def look(self) -> None:
        """Raise Unusable when the store is seen not to be there, or to be read-only."""
        with self._root() as root:
            if os.fstatvfs(root).f_flag & os.ST_RDONLY:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    def write(self, images: Sequence[Image]) -> None:
        """Return when all are there for good, whole and by their names; raises Unusable, to be called again."""
        # What is there twice has one temporary name, and the later one wins as it would have.
        contents = {image.path: image.content for image in images}
        temporary = {path: _temporary(path) for path in contents}
        with self._names:
            self._being_written.update(temporary.values())
        try:
            with self._root() as root:
                self._write(root, contents, temporary)
        except BaseException:
            # Who knows what has become of them.
            self._known.clear()
            raise
        finally:
            with self._names:
                self._being_written.difference_update(temporary.values())

    def folders(self) -> Iterator[str]:
        """The folder of each camera and hour, as ``<camera>/<day>/<hour>``; what else is there is not ours."""
        with self._root() as root:
            for camera in _folders(root, ".", CAMERA_ID):
                for day in _folders(root, camera, DAY):
                    for hour in _folders(root, f"{camera}/{day}", HOUR):
                        yield f"{camera}/{day}/{hour}"

    def measure(self, folder: str) -> None:
        """Enter a folder's size into the ledger, unless it is there; remove what a write that was cut off has left."""
        with self._names, self._root() as root, suppress(FileNotFoundError):  # removed meanwhile
            self._measure(root, folder)

    def remove(self, folder: str) -> bool:
        """Remove an hour of a camera's pictures, and folders above that it leaves empty; False to try again later."""
        with self._names, self._root() as root:
            if self._in_use(folder):
                return False
            with suppress(FileNotFoundError), _opened_at(root, folder) as there:
                for name in os.listdir(there):
                    try:
                        os.unlink(name, dir_fd=there)
                    except OSError as error:
                        # A folder, which is none of ours; a file that an NFS client keeps until its reader is done.
                        if error.errno not in (errno.EISDIR, errno.EBUSY):
                            raise
            self._known.discard(folder)
            if not _remove_folder(root, folder):
                self._ledger.enter(folder, 0)
                return False
            self._ledger.forget(folder)
            for above in _above(folder):
                if self._in_use(above) or not _remove_folder(root, above):
                    break
            return True

    def _in_use(self, folder: str) -> bool:
        return any(path.startswith(f"{folder}/") for path in self._being_written)

    def _write(self, root: int, contents: dict[str, bytes], temporary: dict[str, str]) -> None:
        folders = {os.path.dirname(path) for path in contents}
        new = folders - self._known
        _make_folders(root, new)
        self._each(lambda path: _write(root, temporary[path], contents[path]), contents)
        with self._names:
            for folder in folders:
                self._measure(root, folder)
            for path, content in contents.items():
                before = _size(root, path)
                os.rename(temporary[path], path, src_dir_fd=root, dst_dir_fd=root)
                self._ledger.add(os.path.dirname(path), len(content) - before)
        self._each(lambda folder: _sync_folder(root, folder), folders.union(*map(_above, new), {"."} if new else ()))
        self._known |= folders

    @contextmanager
    def _root(self) -> Iterator[int]:
        with self._told(), _opened(self._folder) as root:
            try:
                os.stat(MARKER, dir_fd=root, follow_symlinks=False)
            except FileNotFoundError:
                raise Unusable(
                    "absent",
                    f"{self._folder} has no file {MARKER}, so the image store is not mounted there"
                    " (if this is a new store, make an empty file of this name in it)",
                ) from None
            yield root

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # The store's own folder is not there.
            if str(error.filename) == str(self._folder) and error.errno in (errno.ENOENT, errno.ENOTDIR):
                raise Unusable("absent", f"{self._folder}: {error.strerror}") from None
            reason = _REASON_OF.get(error.errno or 0, "failing")
            about = f" ({error.filename})" if reason == "failing" and error.filename else ""
            raise Unusable(reason, f"{self._folder}: {error.strerror}{about}") from None

    def _each(self, do: Callable[[str], None], paths: Sequence[str] | set[str] | dict[str, bytes]) -> None:
        # All are waited for, so that none is still at it when the next attempt begins.
        tasks = [self._pool.submit(do, path) for path in paths]
        problems = [error for error in (task.exception() for task in tasks) if error is not None]
        if problems:
            raise problems[0]

    def _measure(self, root: int, folder: str) -> None:
        if self._ledger.has(folder):
            return
        size = 0
        with _opened_at(root, folder) as there, os.scandir(there) as entries:
            for entry in entries:
                if not entry.name.startswith(TEMPORARY):
                    size += entry.stat(follow_symlinks=False).st_size
                elif f"{folder}/{entry.name}" not in self._being_written:
                    os.unlink(entry.name, dir_fd=there)
        self._ledger.enter(folder, size)


def _above(folder: str) -> list[str]:
    """The folders above, the lowest first, without the store's own."""
    return list(map(str, PurePosixPath(folder).parents[:-1]))


def _make_folders(root: int, folders: set[str]) -> None:
    for folder in folders:
        for path in (*reversed(_above(folder)), folder):
            with suppress(FileExistsError):
                os.mkdir(path, 0o750, dir_fd=root)


def _remove_folder(root: int, path: str) -> bool:
    """Whether it is gone; False when it is not empty."""
    try:
        os.rmdir(path, dir_fd=root)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


def _temporary(path: str) -> str:
    folder, name = os.path.split(path)
    return f"{folder}/{TEMPORARY}{name}"


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    folder = os.open(path, _FOLDER)
    try:
        yield folder
    finally:
        os.close(folder)


@contextmanager
def _opened_at(root: int, path: str) -> Iterator[int]:
    folder = os.open(path, _FOLDER | os.O_NOFOLLOW, dir_fd=root)
    try:
        yield folder
    finally:
        os.close(folder)


def _write(root: int, path: str, content: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640, dir_fd=root)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(file, left) :]
        os.fsync(file)
    finally:
        os.close(file)


def _sync_folder(root: int, path: str) -> None:
    with _opened_at(root, path) as folder:
        os.fsync(folder)


def _size(root: int, path: str) -> int:
    try:
        return os.stat(path, dir_fd=root, follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0


def _folders(root: int, path: str, named: re.Pattern[str]) -> list[str]:
    try:
        with _opened_at(root, path) as folder, os.scandir(folder) as entries:
            return [
                entry.name for entry in entries if named.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
            ]
    except FileNotFoundError:  # removed meanwhile
        return []
