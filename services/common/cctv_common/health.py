"""``/healthz``, ``/readyz`` and ``/metrics`` of a service, served beside its work in a thread of their own."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route


class Health:
    """Live while its worker loops beat; ready while every condition holds.

    ``max_silence_s``: a loop that has not beaten for so many seconds hangs.
    """

    def __init__(self, max_silence_s: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_silence_s = max_silence_s
        self._clock = clock
        self._beats: dict[str, float] = {}
        self._unmet: dict[str, str] = {}

    def beat(self, loop: str = "main") -> None:
        """Say that ``loop`` is turning; a loop is watched from its first beat on."""
        self._beats[loop] = self._clock()

    def set_ready(self, condition: str, unmet: str = "") -> None:
        """Set why ``condition`` is not met; an empty string says that it is."""
        if unmet:
            self._unmet[condition] = unmet
        else:
            self._unmet.pop(condition, None)

    def hanging(self) -> dict[str, float]:
        """Loops that hang, with their silence in seconds."""
        now = self._clock()
        beats = self._beats.copy()
        return {loop: round(now - at, 1) for loop, at in beats.items() if now - at > self._max_silence_s}

    def unmet(self) -> dict[str, str]:
        """Conditions that are not met, with the reason."""
        return self._unmet.copy()


def routes(health: Health, registry: CollectorRegistry = REGISTRY) -> list[BaseRoute]:
    """The three routes that every service has, for a service with an application of its own."""

    async def healthz(__: Request) -> Response:
        hanging = health.hanging()
        return JSONResponse({"hanging": hanging}, status_code=503 if hanging else 200)

    async def readyz(__: Request) -> Response:
        unmet = health.unmet()
        return JSONResponse({"unmet": unmet}, status_code=503 if unmet else 200)

    async def metrics(__: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]


class HealthServer:
    """A context in which the three routes (and ``extra`` ones) are served from a thread.

    Raises OSError at once when the address is taken.
    """

    def __init__(self, health: Health, host: str, port: int, extra: Sequence[BaseRoute] = ()) -> None:
        self._socket = socket.create_server((host, port), backlog=64)
        app = Starlette(routes=[*routes(health), *extra])
        self._server = uvicorn.Server(
            uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1)
        )
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="health", daemon=True
        )

    def __enter__(self) -> HealthServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=3)
        self._socket.close()
