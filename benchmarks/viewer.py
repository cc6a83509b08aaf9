"""A browser's end of a stream: how old is a frame when its last byte has come out of the socket?"""

from __future__ import annotations

import http.client
import threading
import time
from urllib.parse import urlsplit


class Viewer(threading.Thread):
    """Reads one camera's MJPEG stream for ``seconds`` and keeps every frame's age in milliseconds."""

    def __init__(self, url: str, camera: str, seconds: float) -> None:
        super().__init__(daemon=True)
        self._netloc = urlsplit(url).netloc
        self._path = f"/cameras/{camera}/stream.mjpg"
        self._seconds = seconds
        self.ages_ms: list[float] = []

    def run(self) -> None:
        """Read parts by their Content-Length."""
        connection = http.client.HTTPConnection(self._netloc, timeout=10)
        connection.request("GET", self._path)
        stream = connection.getresponse()
        end = time.monotonic() + self._seconds
        headers: dict[str, str] = {}
        first = True
        while time.monotonic() < end:
            line = stream.readline()
            if not line:
                break
            name, colon, value = line.decode("latin-1").partition(":")
            if colon:
                headers[name.lower()] = value.strip()
            elif "content-length" in headers:
                left = int(headers["content-length"])
                while left:
                    left -= len(stream.read(left))
                # The first part is the last frame at once, however old it is.
                if not first:
                    self.ages_ms.append(time.time() * 1000 - int(headers["x-captured-at"]))
                first = False
                headers = {}
        connection.close()


def percentile(values: list[float], part: float) -> float:
    """The value that ``part`` (0 to 1) of the values do not exceed."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(part * len(ranked)))]
