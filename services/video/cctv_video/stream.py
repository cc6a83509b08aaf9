"""Streams: each picture is written to a viewer's socket the moment that it is there and the socket takes it.

Written by callbacks and in one piece that all viewers share: of what is done for each viewer and picture, hardly
anything is Python's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from prometheus_client import Counter
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from cctv_video.hub import Viewer
from cctv_video.picture import BOUNDARY, HEARTBEAT, Picture

HEARTBEAT_S = 2.0
TICK_S = 0.1
"""How often streams are looked at for what no event tells: a picture that is due, a heartbeat, a stall."""
GOODBYE_S = 0.3
"""How long the end of a stream may take when the server ends."""


class Line(Protocol):
    """A viewer's connection, as the server gives it to each request in ``state.line``."""

    on_ready: Callable[[], None] | None
    """Called once the kernel has taken everything."""
    stalled_since: float | None
    """When, on the loop's clock, the kernel first took less than there was; None while it takes everything."""

    def push(self, chunk: bytes) -> None:
        """Write one chunk of the body that was begun."""

    def abort(self) -> None:
        """Cut the connection: a mere close would keep its bytes until they are taken."""


class Streams:
    """What streams have in common: their counters, and their looks at the clock."""

    def __init__(self, sent: Counter, stalled: Counter, write_timeout_s: float) -> None:
        self.sent = sent
        self.stalled = stalled
        self.write_timeout_s = write_timeout_s
        self._open: set[Stream] = set()

    def begin(self, stream: Stream) -> None:
        """Look after a stream."""
        if not self._open:
            asyncio.get_running_loop().call_later(TICK_S, self._tick)
        self._open.add(stream)

    def end(self, stream: Stream) -> None:
        """Forget a stream."""
        self._open.discard(stream)

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        for stream in tuple(self._open):
            stream.tick(loop.time())
        if self._open:
            loop.call_later(TICK_S, self._tick)


class Stream(Response):
    """A multipart stream of pictures that ends with its viewer, with the hub, or when nothing is taken any more."""

    def __init__(
        self, viewer: Viewer, headers: dict[str, str], media_type: str, streams: Streams, heartbeat: bool
    ) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers(headers | {"Content-Type": f"{media_type}; boundary={BOUNDARY.decode()}"})
        self._viewer = viewer
        self._streams = streams
        self._heartbeat = heartbeat
        self._written_at = 0.0
        self._line: Line

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the stream as an ASGI application."""
        self._line = scope["state"]["line"]
        with self._viewer:
            leaving = asyncio.ensure_future(_gone(receive))
            ending = asyncio.ensure_future(self._viewer.ended.wait())
            try:
                self._streams.begin(self)
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                await send({"type": "http.response.body", "body": b"--" + BOUNDARY + b"\r\n", "more_body": True})
                self._begin()
                await asyncio.wait((leaving, ending), return_when=asyncio.FIRST_COMPLETED)
                if not leaving.done():
                    await self._say_goodbye(send, leaving)
            finally:
                self._streams.end(self)
                self._line.on_ready = None
                for task in (leaving, ending):
                    task.cancel()

    def tick(self, now: float) -> None:
        """Do what is due at ``now``."""
        if self._line.stalled_since is not None:
            if now - self._line.stalled_since > self._streams.write_timeout_s:
                self._streams.stalled.inc()
                self._streams.end(self)
                self._line.abort()
            return
        if self._line.on_ready is None:  # its head has not been written
            return
        if self._viewer.period:
            self._news(None)
        if self._heartbeat and now - self._written_at > HEARTBEAT_S:
            self._write(HEARTBEAT)

    def _begin(self) -> None:
        self._written_at = asyncio.get_running_loop().time()
        self._viewer.on_news = self._news
        self._line.on_ready = lambda: self._news(None)
        self._news(None)

    def _news(self, made: Picture | None) -> None:
        # One picture at a time: which one comes next is chosen when the socket has taken the last.
        while self._line.stalled_since is None and (picture := self._viewer.take(made)) is not None:
            self._write(picture.chunk)
            self._streams.sent.inc()

    def _write(self, chunk: bytes) -> None:
        self._written_at = asyncio.get_running_loop().time()
        self._line.push(chunk)

    async def _say_goodbye(self, send: Send, leaving: asyncio.Future[None]) -> None:
        """End the body as HTTP wants it, for who has taken all that was sent; cut off others."""
        try:
            async with asyncio.timeout(GOODBYE_S):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            self._line.abort()
            await leaving


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
