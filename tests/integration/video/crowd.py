"""Many streams, read from plain sockets by one thread; some of them not at all."""

from __future__ import annotations

import selectors
import socket
import threading


class Crowd:
    """What comes over the streams: ``number`` begins a header of each picture, of which there is one digit or more."""

    def __init__(
        self,
        port: int,
        path: str,
        readers: int,
        stalled: int = 0,
        stalled_path: str = "",
        version: str = "1.1",
        number: bytes = b"X-Frame: ",
    ) -> None:
        self.newest = [-1] * readers
        self.pictures = self.skipped = self.bytes = 0
        """Of all readers together; skipped are numbers that a reader did not get between two others."""
        self._number = number
        self._tails = [b""] * readers
        self._selector = selectors.DefaultSelector()
        self._sockets = []
        for viewer in range(readers + stalled):
            connection = socket.socket()
            if viewer >= readers:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", port))
            asked = path if viewer < readers else stalled_path
            connection.sendall(f"GET {asked} HTTP/{version}\r\nHost: test\r\n\r\n".encode())
            self._sockets.append(connection)
            if viewer < readers:
                self._selector.register(connection, selectors.EVENT_READ, viewer)
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._ended:
            for key, __ in self._selector.select(0.1):
                self._read(key.data, self._sockets[key.data].recv(1 << 20))

    def _read(self, reader: int, content: bytes) -> None:
        assert content, "a reader was dropped"
        self.bytes += len(content)
        content = self._tails[reader] + content
        behind = 0
        while (at := content.find(self._number, behind)) >= 0 and (end := content.find(b"\r", at)) >= 0:
            number = int(content[at + len(self._number) : end])
            if self.newest[reader] >= 0:
                self.skipped += number - self.newest[reader] - 1
            self.newest[reader] = number
            self.pictures += 1
            behind = end
        self._tails[reader] = content[max(behind, len(content) - 40) :]

    def __enter__(self) -> Crowd:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        self._thread.join(10)
        for connection in self._sockets:
            connection.close()
