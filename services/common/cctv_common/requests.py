"""Counts what an HTTP server answered."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, Counter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NONE = "none"
"""The status of requests that ended before there was an answer: their client went away."""


class Counted:
    """An application whose requests are counted by the status of their answer, streams when they begin."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry = REGISTRY) -> None:
        self._app = app
        self._requests = Counter("cctv_http_requests", "Requests by status of the answer", ["code"], registry=registry)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answered = False

        async def count(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                self._requests.labels(str(message["status"])).inc()
            await send(message)

        try:
            await self._app(scope, receive, count)
        except Exception:
            if not answered:  # which the server makes of it
                self._requests.labels("500").inc()
            raise
        if not answered:
            self._requests.labels(NONE).inc()
