"""The HTTP side: the search page, a frame's page and document, and the pictures."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from email.utils import formatdate
from importlib import resources
from typing import Any

import jinja2
from cctv_common.guard import Guard
from cctv_common.health import Health, routes
from prometheus_client import REGISTRY, CollectorRegistry
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from cctv_ui import index, pictures
from cctv_ui.frames import BadDocument, Found
from cctv_ui.index import Index, Page
from cctv_ui.pictures import Pictures
from cctv_ui.search import FRAME_ID, BadSearch, Search, Span, Timeline, iso
from cctv_ui.watch import Watch

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
STATIC = {"app.js": "text/javascript", "style.css": "text/css", "icon.svg": "image/svg+xml"}
SPAN_NAMES = {
    "15m": "Last 15 minutes",
    "1h": "Last hour",
    "6h": "Last 6 hours",
    "24h": "Last 24 hours",
    "7d": "Last 7 days",
}
FRESH = {"Cache-Control": "private, no-cache"}
NEVER = {"Cache-Control": "no-store"}
# A path names one frame's picture for good. Private: there may be a password before it.
FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}
ELASTICSEARCH, IMAGE_STORE = "elasticsearch", "image_store"
ROWS = 8
"""Classes shown in the timeline."""

Endpoint = Callable[[Request], Coroutine[object, object, Response]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a search has found, or why it has not."""

    page: Page = field(default_factory=lambda: Page((), None))
    timeline: Timeline | None = None
    away: str = ""
    wrong: str = ""

    @property
    def status(self) -> int:
        """The status of the answer."""
        return 400 if self.wrong else 503 if self.away else 200


def application(
    found: Index,
    store: Pictures,
    watch: Watch,
    health: Health,
    *,
    page_size: int = 48,
    refresh_ms: int = 2000,
    username: str = "",
    password: str = "",
    registry: CollectorRegistry = REGISTRY,
    clock: Callable[[], float] = time.time,
) -> ASGIApp:
    """The service's ASGI application."""
    templates = _templates()

    def render(name: str, status: int, **what: Any) -> Response:
        html = templates.get_template(name).render(store_away=watch.problem(IMAGE_STORE), refresh_ms=refresh_ms, **what)
        headers = FRESH | ({"Retry-After": "5"} if status == 503 else {})
        return HTMLResponse(html, status, headers)

    async def outcome(search: Search, with_timeline: bool) -> Outcome:
        now = int(clock() * 1000)
        try:
            facets = await found.facets()
            if not with_timeline:
                return Outcome(await found.frames(search, page_size, now))
            since, until = search.since(now), search.end
            start = since if since is not None else facets.first
            end = until if until is not None else max(now if search.last else 0, facets.last or 0, start or 0)
            if start is None or start > end:
                return Outcome(await found.frames(search, page_size, now))
            page, timeline = await asyncio.gather(
                found.frames(search, page_size, now), found.timeline(search, Span.of(start, end), now)
            )
            return Outcome(page, timeline)
        except index.Away as away:
            return Outcome(away=str(away))

    async def show(request: Request, name: str, with_timeline: bool) -> Response:
        try:
            search = Search.parse(request.query_params)
            result = await outcome(search, with_timeline)
        except BadSearch as wrong:
            search, result = Search(), Outcome(wrong=str(wrong))
        facets = found.known
        return render(
            name,
            result.status,
            search=search,
            result=result,
            cameras=sorted({*facets.cameras, *([search.camera] if search.camera else [])}),
            classes=sorted({*facets.classes, *search.classes}),
            spans=SPAN_NAMES,
            rows=ROWS,
        )

    async def home(request: Request) -> Response:
        return await show(request, "search.html", with_timeline=True)

    async def results(request: Request) -> Response:
        """The pictures alone: what a page asks for that looks for new ones, or for older ones."""
        return await show(request, "results.html", with_timeline=False)

    async def frame(request: Request) -> Response:
        try:
            search = Search.parse(request.query_params)
        except BadSearch:
            search = Search()
        try:
            document = await found.frame(known(request))
            shown = Found.of(document or {})
            older, newer = await asyncio.gather(
                *(found.neighbour(shown.camera, shown.key, order) for order in ("desc", "asc"))
            )
        except BadDocument:
            return render("problem.html", 404, title="No such frame", text=NO_FRAME, search=search)
        except index.Away as away:
            text = f"Elasticsearch {away}. This page tries again by itself."
            return render("problem.html", 503, title="The search is away", text=text, search=search)
        return render("frame.html", 200, frame=shown, older=older, newer=newer, search=search)

    async def document(request: Request) -> Response:
        try:
            said = await found.frame(known(request))
        except index.Away as away:
            return JSONResponse({"error": f"Elasticsearch {away}"}, 503, NEVER | {"Retry-After": "5"})
        return (
            JSONResponse({"error": "no such frame"}, 404, NEVER) if said is None else JSONResponse(said, headers=FRESH)
        )

    def known(request: Request) -> str:
        id: str = request.path_params["frame"]
        if not FRAME_ID.fullmatch(id):
            raise HTTPException(404)
        return id

    async def image(request: Request) -> Response:
        asked = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
        try:
            picture = await store.read(request.path_params["path"], lambda etag: etag in asked)
        except pictures.Away:
            return _placeholder("The image store is away", "This page tries again by itself", 503)
        if picture is None:
            return _placeholder("This picture is not in the store", "Not archived yet, or expired", 404)
        headers = FOREVER | {"ETag": picture.etag, "Last-Modified": formatdate(picture.modified, usegmt=True)}
        if picture.content is None:
            return Response(status_code=304, headers=headers)
        return Response(picture.content, headers=headers, media_type="image/jpeg")

    async def error(request: Request, problem: Exception) -> Response:
        assert isinstance(problem, HTTPException)
        text = NO_PAGE if problem.status_code == 404 else problem.detail
        answer = render("problem.html", problem.status_code, title="Nothing here", text=text, search=Search())
        answer.headers.update(problem.headers or {})
        return answer

    async def broken(request: Request, problem: Exception) -> Response:
        # Starlette raises the problem once more, and uvicorn logs it: readers are not shown our insides.
        return render("problem.html", 500, title="This went wrong", text=BROKEN, search=Search())

    @contextlib.asynccontextmanager
    async def lifespan(__: Starlette) -> AsyncIterator[None]:
        looking = asyncio.create_task(watch.run())
        yield
        looking.cancel()

    app = Starlette(
        routes=[
            Route("/", home),
            Route("/results", results),
            Route("/frames/{frame}.json", document),
            Route("/frames/{frame}", frame),
            Route("/images/{path:path}", image),
            *(Route(f"/static/{name}", _file(name, media_type)) for name, media_type in STATIC.items()),
            *routes(health, registry),
        ],
        exception_handlers={HTTPException: error, Exception: broken},
        lifespan=lifespan,
    )
    # Outside of everything, so that it also holds for what Starlette answers by itself.
    return Guard(app, HEADERS, username, password)


NO_FRAME = "No frame has this id: it was never seen, is not indexed yet, or has expired."
NO_PAGE = "There is no such page."
BROKEN = "The server's log says what. It is no fault of what you asked for."


def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cctv_ui"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["iso"] = iso
    environment.filters["utc"] = lambda at: f"{iso(at // 1000 * 1000)[:-1].replace('T', ' ')} UTC"
    environment.filters["thousands"] = "{:,}".format
    return environment


def _file(name: str, media_type: str) -> Endpoint:
    content = resources.files("cctv_ui").joinpath("static", name).read_bytes()

    async def endpoint(__: Request) -> Response:
        return Response(content, headers=FRESH, media_type=media_type)

    return endpoint


def _placeholder(said: str, more: str, status: int) -> Response:
    # No camera has so few pixels: the script on the page tells by the size that there is something to ask for again.
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="16" height="9" viewBox="0 0 320 180">'
        '<rect width="320" height="180" fill="#18212b"/>'
        '<g font-family="system-ui, sans-serif" text-anchor="middle">'
        f'<text x="160" y="88" font-size="16" fill="#e8eef4">{said}</text>'
        f'<text x="160" y="110" font-size="12" fill="#93a3b3">{more}</text></g></svg>'
    )
    return Response(svg, status, NEVER, "image/svg+xml")
