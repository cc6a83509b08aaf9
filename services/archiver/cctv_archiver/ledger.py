"""What the pictures of each camera's hours take, so that nobody has to look through the store to know."""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime, timedelta

_HOUR = re.compile(r"[^/]+/(\d{4}-\d{2}-\d{2})/(\d{2})")


class Ledger:
    """Bytes by folder ``<camera>/<day>/<hour>``."""

    def __init__(self) -> None:
        self._bytes: dict[str, int] = {}
        self._lock = threading.Lock()

    def has(self, folder: str) -> bool:
        """Whether a folder's size is known."""
        with self._lock:
            return folder in self._bytes

    def enter(self, folder: str, size: int) -> None:
        """A folder was measured."""
        with self._lock:
            self._bytes[folder] = size

    def add(self, folder: str, size: int) -> None:
        """Bytes were added to a folder that was measured."""
        with self._lock:
            self._bytes[folder] += size

    def forget(self, folder: str) -> None:
        """A folder was removed."""
        with self._lock:
            self._bytes.pop(folder, None)

    @property
    def total(self) -> int:
        """Bytes of all."""
        with self._lock:
            return sum(self._bytes.values())

    def older(self, hours: int, now: datetime) -> list[str]:
        """Folders whose hour ended more than so many hours ago."""
        with self._lock:
            return [folder for folder in self._bytes if (at := hour(folder)) and at + timedelta(hours=hours + 1) < now]

    def beyond(self, limit: int, now: datetime) -> list[str]:
        """The oldest hours' folders, without which the others take no more than ``limit`` bytes.

        The hour that is now, and what is later, is never among them.
        """
        with self._lock:
            sizes = self._bytes.copy()
        excess = sum(sizes.values()) - limit
        chosen: list[str] = []
        by_hour = sorted((at, folder) for folder in sizes if (at := hour(folder)) and at + timedelta(hours=1) < now)
        last = None
        for at, folder in by_hour:
            # All cameras' pictures of an hour go together.
            if excess <= 0 and at != last:
                break
            chosen.append(folder)
            excess -= sizes[folder]
            last = at
        return chosen


def hour(folder: str) -> datetime | None:
    """When the hour of a folder began; None for a folder that is none of ours."""
    if not (found := _HOUR.fullmatch(folder)):
        return None
    try:
        return datetime.strptime(f"{found[1]} {found[2]}", "%Y-%m-%d %H").replace(tzinfo=UTC)
    except ValueError:
        return None
