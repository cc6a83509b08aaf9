"""What holds for every answer of a page: headers that keep browsers from mischief, and the password."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN = ("/healthz", "/readyz", "/metrics")
"""Asked by machines that know no password, and tell nothing of what was seen."""
CREDENTIALS = ("authorization", "x-authorization")
"""The second is for who asks through Kubernetes' API server, which keeps the first for itself."""


class Guard:
    """Adds the headers; asks for the password, when there is one."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str], username: str = "", password: str = "") -> None:
        self._app = app
        self._headers = headers
        # Digests are of one length, so that comparing them tells nothing, not even how long the password is.
        self._expected = _digest(f"{username}:{password}".encode()) if password else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as an ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers[name] = value
            await send(message)

        app = self._app if scope["path"] in OPEN or self._admits(Headers(scope=scope)) else _ASK
        await app(scope, receive, guarded)

    def _admits(self, headers: Headers) -> bool:
        return self._expected is None or any(self._is_it(headers.get(name, "")) for name in CREDENTIALS)

    def _is_it(self, credentials: str) -> bool:
        assert self._expected is not None
        scheme, __, said = credentials.partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            return hmac.compare_digest(_digest(base64.b64decode(said.strip(), validate=True)), self._expected)
        except ValueError:
            return False


_ASK = PlainTextResponse(
    "This page asks for a name and a password.\n",
    401,
    {"WWW-Authenticate": 'Basic realm="cctv", charset="UTF-8"', "Cache-Control": "no-store"},
)


def _digest(credentials: bytes) -> bytes:
    return hashlib.sha256(credentials).digest()
