"""The HTTP side: the page, the streams, the pictures, and /cameras."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Collection, Coroutine
from importlib import resources

from cctv_common.frames import CAMERA_ID
from cctv_common.guard import Guard
from cctv_common.health import Health, routes
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from cctv_video.hub import Full, Hub, iso
from cctv_video.sizes import rung
from cctv_video.stream import Stream, Streams

RETRY_AFTER_S = "5"
STATIC = {
    **dict.fromkeys(("app.js", "quality.js", "stream.js", "tile.js", "view.js"), "text/javascript"),
    "style.css": "text/css",
    "icon.svg": "image/svg+xml",
}
# Pictures may be shown in other people's pages, this page only in its own site's.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
FRESH = {"Cache-Control": "no-cache"}
LIVE = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*")
"""Of the paths under which a proxy may show the page."""
WIDTHS_PX = (16, 7680)
RATES_FPS = (0.1, 60)

Endpoint = Callable[[Request], Coroutine[object, object, Response]]


def application(
    hub: Hub,
    health: Health,
    *,
    write_timeout_s: float = 5.0,
    root_path: str = "",
    username: str = "",
    password: str = "",
    registry: CollectorRegistry = REGISTRY,
) -> ASGIApp:
    """The service's ASGI application; the server gives each request's state its `stream.Line`."""
    Gauge("cctv_video_viewers", "Streams open", registry=registry).set_function(hub.viewers)
    refused = Counter("cctv_video_viewers_refused", "Streams refused at the cap", registry=registry)
    streams = Streams(
        sent=Counter("cctv_video_pictures_sent", "Pictures handed to viewers' sockets", registry=registry),
        stalled=Counter("cctv_video_viewers_stalled", "Viewers dropped: they took no byte", registry=registry),
        write_timeout_s=write_timeout_s,
    )

    def stream(request: Request, cameras: Collection[str] | None, media_type: str) -> Response:
        width, fps = _width(request), _number(request, "fps", RATES_FPS, "frames a second")
        if request.method == "HEAD":
            return Response(headers=LIVE, media_type=media_type)
        try:
            viewer = hub.watch(cameras, width=width, fps=fps)
        except Full:
            refused.inc()
            raise HTTPException(503, "as many viewers as are allowed", {"Retry-After": RETRY_AFTER_S}) from None
        return Stream(viewer, LIVE, media_type, streams, heartbeat=media_type == "multipart/mixed")

    async def live(request: Request) -> Response:
        """Many cameras in one stream: a browser opens six connections to a host, and there are more cameras."""
        asked = request.query_params.get("cameras")
        if asked is None:
            return stream(request, None, "multipart/mixed")
        cameras = dict.fromkeys(asked.split(","))
        for wrong in (camera for camera in cameras if not CAMERA_ID.fullmatch(camera)):
            raise HTTPException(400, f"cameras={wrong[:80]}: expected ids of cameras, with commas")
        # One that is not known yet may be soon.
        if not any(hub.knows(camera) for camera in cameras):
            raise HTTPException(404, "no such camera")
        return stream(request, cameras, "multipart/mixed")

    async def mjpeg(request: Request) -> Response:
        return stream(request, (known(request),), "multipart/x-mixed-replace")

    async def snapshot(request: Request) -> Response:
        picture = await hub.snapshot(known(request), _width(request))
        if picture is None:
            raise HTTPException(503, "no frame yet", {"Retry-After": RETRY_AFTER_S})
        return Response(picture.jpeg, headers=LIVE | picture.headers(), media_type="image/jpeg")

    async def cameras(__: Request) -> Response:
        return JSONResponse({"now": iso(time.time() * 1000), "cameras": hub.statuses()}, headers=LIVE)

    def known(request: Request) -> str:
        camera: str = request.path_params["camera"]
        if not hub.knows(camera):
            raise HTTPException(404, "no such camera")
        return camera

    async def error(__: Request, problem: Exception) -> Response:
        assert isinstance(problem, HTTPException)
        return JSONResponse({"error": problem.detail}, problem.status_code, {**LIVE, **(problem.headers or {})})

    app = Starlette(
        routes=[
            Route("/", _page(root_path)),
            *(Route(f"/static/{name}", _file(name, media_type)) for name, media_type in STATIC.items()),
            Route("/live", live),
            Route("/cameras", cameras),
            Route("/cameras/{camera}/stream.mjpg", mjpeg),
            Route("/cameras/{camera}/snapshot.jpg", snapshot),
            *routes(health, registry),
        ],
        exception_handlers={HTTPException: error},
    )
    return _below(root_path, Guard(app, HEADERS, username, password))


def _below(root_path: str, app: ASGIApp) -> ASGIApp:
    """Take requests with ``root_path`` before their path, and without: probes know nothing of proxies."""

    async def shortened(scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path == root_path or path.startswith(f"{root_path}/"):
            scope = {**scope, "path": path[len(root_path) :] or "/"}
        await app(scope, receive, send)

    return shortened if root_path else app


def _width(request: Request) -> int | None:
    width = _number(request, "width", WIDTHS_PX, "pixels")
    return None if width is None else rung(int(width))


def _number(request: Request, name: str, limits: tuple[float, float], unit: str) -> float | None:
    said = request.query_params.get(name)
    if said is None:
        return None
    least, most = limits
    # Plain digits: float() also takes "nan" and "1_0".
    if re.fullmatch(r"[0-9]{1,5}(\.[0-9]{1,3})?", said) and least <= float(said) <= most:
        return float(said)
    raise HTTPException(400, f"{name}={said[:80]}: expected {unit}, {least:g} to {most:g}")


def _page(root_path: str) -> Endpoint:
    content = _read("index.html").decode()

    async def endpoint(request: Request) -> Response:
        # A proxy may show the page at a path without a slash at its end, from which a browser finds nothing beside it.
        prefix = request.headers.get("x-forwarded-prefix", root_path).rstrip("/")
        start = f'"{prefix}/static/' if prefix and PREFIX.fullmatch(prefix) else '"static/'
        html = content.replace('"static/', start)
        return _fresh(request, html.encode(), "text/html", FRESH | {"Vary": "X-Forwarded-Prefix"})

    return endpoint


def _file(name: str, media_type: str) -> Endpoint:
    content = _read(name)

    async def endpoint(request: Request) -> Response:
        return _fresh(request, content, media_type, FRESH)

    return endpoint


def _read(name: str) -> bytes:
    return resources.files("cctv_video").joinpath("static", name).read_bytes()


def _fresh(request: Request, content: bytes, media_type: str, headers: dict[str, str]) -> Response:
    """What a browser may keep, and asks about each time: what it has is not sent again."""
    tag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
    asked = [known.strip().removeprefix("W/") for known in request.headers.get("if-none-match", "").split(",")]
    if tag in asked:
        return Response(status_code=304, headers=headers | {"ETag": tag})
    return Response(content, headers=headers | {"ETag": tag}, media_type=media_type)
