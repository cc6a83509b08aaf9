"""Where the picture of a detection is in the image store."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from cctv_common.frames import CAMERA_ID

MARKER = ".cctv-image-store"
"""The file in the store's folder by which a mounted store is told from the empty folder that it is mounted on."""

IMAGE_PATH = re.compile(
    rf"(?P<camera>{CAMERA_ID.pattern})/[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}/[0-9]{{2}}/(?P=camera)-[0-9]{{1,18}}-[0-9]{{1,18}}\.jpg"
)
"""What image_path returns, and nothing that leads elsewhere."""

LATEST_MS = 253_402_300_799_999
"""The last millisecond of the year 9999, after which a day's name has no four digits of a year."""


def image_path(camera: str, epoch: int, frame: int, captured_at: int) -> str:
    """The picture's path below the store: ``<camera>/<YYYY-MM-DD>/<HH>/<camera>-<epoch>-<frame>.jpg``, in UTC.

    Raises ValueError for what is no frame's: whatever a record says, its path never leads out of the store.
    """
    if not CAMERA_ID.fullmatch(camera):
        raise ValueError(f"{camera[:80]!r} is no camera id")
    for name, number in (("epoch", epoch), ("frame", frame), ("captured_at", captured_at)):
        if number < 0:
            raise ValueError(f"{name} is {number}; expected 0 or more")
    if captured_at > LATEST_MS:
        raise ValueError(f"captured_at is {captured_at}; expected ms since 1970, before the year 10000")
    hour = datetime.fromtimestamp(captured_at // 1000, UTC)
    return f"{camera}/{hour:%Y-%m-%d/%H}/{camera}-{epoch}-{frame}.jpg"
