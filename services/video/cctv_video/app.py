"""The HTTP side: the page, the streams, the pictures, and /cameras."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from importlib import resources

from cctv_common.health import Health, routes
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from cctv_video.hub import BOUNDARY, Full, Hub, Viewer, iso, part

HEARTBEAT_S = 2.0
HEARTBEAT = part({"Content-Length": 0}, b"")
RETRY_AFTER_S = "5"
GOODBYE_S = 0.3
"""How long the end of a stream may take when the server ends."""

FILES = {
    "/": ("index.html", "text/html"),
    "/static/app.js": ("app.js", "text/javascript"),
    "/static/style.css": ("style.css", "text/css"),
    "/static/icon.svg": ("icon.svg", "image/svg+xml"),
}
PAGE_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
LIVE_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Accel-Buffering": "no"}

Endpoint = Callable[[Request], Coroutine[object, object, Response]]


class ViewerMetrics:
    """What happens to viewers; never by camera or address."""

    def __init__(self, hub: Hub, registry: CollectorRegistry = REGISTRY) -> None:
        Gauge("cctv_video_viewers", "Streams open", registry=registry).set_function(hub.viewers)
        self.refused = Counter("cctv_video_viewers_refused", "Streams refused at the cap", registry=registry)
        self.stalled = Counter("cctv_video_viewers_stalled", "Viewers dropped: they took no byte", registry=registry)
        self.sent = Counter("cctv_video_pictures_sent", "Pictures handed to viewers' sockets", registry=registry)


class Stream(Response):
    """A multipart stream of pictures that ends with its viewer, with the hub, or when nothing is taken any more."""

    def __init__(
        self, viewer: Viewer, media_type: str, metrics: ViewerMetrics, write_timeout_s: float, heartbeat: bool
    ) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers(LIVE_HEADERS | {"Content-Type": f"{media_type}; boundary={BOUNDARY.decode()}"})
        self._viewer = viewer
        self._metrics = metrics
        self._write_timeout_s = write_timeout_s
        self._heartbeat_s = HEARTBEAT_S if heartbeat else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the stream as an ASGI application."""
        with self._viewer:
            streaming = asyncio.ensure_future(self._pictures(send))
            leaving = asyncio.ensure_future(_gone(receive))
            ending = asyncio.ensure_future(self._viewer.ended.wait())
            try:
                await asyncio.wait((streaming, leaving, ending), return_when=asyncio.FIRST_COMPLETED)
                if ending.done():
                    await asyncio.wait((streaming, leaving), timeout=GOODBYE_S, return_when=asyncio.FIRST_COMPLETED)
                if streaming.done():
                    streaming.result()
                elif ending.done():
                    await _cut(scope, leaving)
            except TimeoutError:
                self._metrics.stalled.inc()
                await _cut(scope, leaving)
            finally:
                for task in (streaming, leaving, ending):
                    task.cancel()

    async def _pictures(self, send: Send) -> None:
        async def write(body: bytes, more: bool = True) -> None:
            async with asyncio.timeout(self._write_timeout_s):
                await send({"type": "http.response.body", "body": body, "more_body": more})

        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await write(b"--" + BOUNDARY + b"\r\n")
        while True:
            await write(b"")  # waits until the socket has taken everything, so that the picture chosen next is new
            try:
                async with asyncio.timeout(self._heartbeat_s):
                    picture = await self._viewer.next()
            except TimeoutError:
                await write(HEARTBEAT)
                continue
            if picture is None:
                await write(b"", more=False)
                return
            await write(picture.part)
            self._metrics.sent.inc()


async def _cut(scope: Scope, leaving: asyncio.Future[None]) -> None:
    """End a connection that takes nothing: a mere close would keep its bytes until it does."""
    scope["state"]["abort"]()
    await leaving


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def application(
    hub: Hub,
    health: Health,
    *,
    write_timeout_s: float = 5.0,
    registry: CollectorRegistry = REGISTRY,
) -> Starlette:
    """The service's ASGI application; the server gives each request's state an ``abort`` of its connection."""
    metrics = ViewerMetrics(hub, registry)

    def stream(request: Request, camera: str | None) -> Response:
        media_type = "multipart/x-mixed-replace" if camera else "multipart/mixed"
        if request.method == "HEAD":
            return Response(headers=LIVE_HEADERS, media_type=media_type)
        try:
            viewer = hub.watch(camera)
        except Full:
            metrics.refused.inc()
            raise HTTPException(503, "as many viewers as are allowed", {"Retry-After": RETRY_AFTER_S}) from None
        return Stream(viewer, media_type, metrics, write_timeout_s, heartbeat=camera is None)

    async def live(request: Request) -> Response:
        """All cameras in one stream: a browser opens six connections to a host, and there are more cameras."""
        camera = request.query_params.get("camera")
        return stream(request, None) if camera is None else stream(request, known(camera))

    async def mjpeg(request: Request) -> Response:
        return stream(request, known(request.path_params["camera"]))

    async def snapshot(request: Request) -> Response:
        picture = hub.picture(known(request.path_params["camera"]))
        if picture is None:
            raise HTTPException(503, "no frame yet", {"Retry-After": RETRY_AFTER_S})
        return Response(picture.jpeg, headers=LIVE_HEADERS | picture.headers(), media_type="image/jpeg")

    async def cameras(__: Request) -> Response:
        return JSONResponse({"now": iso(time.time() * 1000), "cameras": hub.statuses()}, headers=LIVE_HEADERS)

    def known(camera: str) -> str:
        if not hub.knows(camera):
            raise HTTPException(404, "no such camera")
        return camera

    async def error(__: Request, problem: Exception) -> Response:
        assert isinstance(problem, HTTPException)
        return JSONResponse({"error": problem.detail}, problem.status_code, {**LIVE_HEADERS, **(problem.headers or {})})

    return Starlette(
        routes=[
            *(Route(path, _file(name, media_type)) for path, (name, media_type) in FILES.items()),
            Route("/live", live),
            Route("/cameras", cameras),
            Route("/cameras/{camera}/stream.mjpg", mjpeg),
            Route("/cameras/{camera}/snapshot.jpg", snapshot),
            *routes(health, registry),
        ],
        exception_handlers={HTTPException: error},
    )


def _file(name: str, media_type: str) -> Endpoint:
    content = resources.files("cctv_video").joinpath("static", name).read_bytes()

    async def endpoint(__: Request) -> Response:
        return Response(content, headers=PAGE_HEADERS, media_type=media_type)

    return endpoint
