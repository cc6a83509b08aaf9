"""uvicorn, set up for streams: quick on the wire, and unimpressed by viewers that do not read."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from cctv_video.hub import Hub

UNSENT_BYTES = 16 * 1024


def listen(host: str, port: int) -> socket.socket:
    """Open the server's socket; connections inherit its options. Raises OSError when the address is taken."""
    listener = socket.create_server((host, port), backlog=128)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Without it the kernel keeps megabytes of old pictures for a viewer on a slow line.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
    # A viewer whose machine vanished while the camera is silent is found by nothing else.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    return listener


class Protocol(HttpToolsProtocol):
    """A connection that is also a `stream.Line`: it tells a stream when the kernel has taken all its bytes."""

    on_ready: Callable[[], None] | None = None
    stalled_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Pause the application while any byte waits for the kernel."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)

    def on_message_begin(self) -> None:
        """Give each request ``state.line``."""
        super().on_message_begin()
        self.scope["state"]["line"] = self

    def pause_writing(self) -> None:
        """Note that a byte waits."""
        super().pause_writing()
        self.stalled_since = self.loop.time()

    def resume_writing(self) -> None:
        """Note that none does."""
        super().resume_writing()
        self.stalled_since = None
        if self.on_ready is not None:
            self.on_ready()

    def push(self, chunk: bytes) -> None:
        """Write one chunk of the body that was begun; into nothing, when the viewer has just gone."""
        if not self.transport.is_closing():
            self.transport.write(chunk)

    def abort(self) -> None:
        """Cut the connection."""
        self.transport.abort()


class Server(uvicorn.Server):
    """Tells the hub of the loop at the start, and to end the streams before connections are waited for."""

    def __init__(self, app: ASGIApp, hub: Hub) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="uvloop",
                http=Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=1,
            )
        )
        self._hub = hub

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve."""
        self._hub.attach(asyncio.get_running_loop())
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then the server."""
        self._hub.close()
        await super().shutdown(sockets)
