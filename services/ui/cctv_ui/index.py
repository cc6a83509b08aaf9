"""What Elasticsearch knows of detections, asked through its own client in threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anyio.to_thread
from cctv_common.frames import CAMERA_ID
from elasticsearch import (
    ConnectionError as NoConnection,
)
from elasticsearch import (
    ConnectionTimeout,
    Elasticsearch,
    ElasticsearchException,
    NotFoundError,
    TransportError,
)
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram

from cctv_ui.frames import BadDocument, Found
from cctv_ui.search import (
    CLASS,
    Key,
    Search,
    Span,
    Timeline,
    facets_body,
    frames_body,
    neighbour_body,
    timeline,
    timeline_body,
)

FACETS_S = 5.0
"""How long a list of cameras and classes is taken for true."""
BUCKETS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2, 5)


class Away(Exception):
    """Elasticsearch does not say; the message is the rest of a sentence that begins with its name."""


@dataclass(frozen=True, slots=True)
class Facets:
    """What there is to choose from."""

    cameras: Sequence[str] = ()
    classes: Sequence[str] = ()
    first: int | None = None
    last: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Frames, newest first, and behind which one older ones go on; None when there are none."""

    frames: Sequence[Found]
    older: Key | None


class Index:
    """The detections behind the alias."""

    def __init__(
        self,
        urls: Sequence[str],
        alias: str,
        timeout_s: float = 3.0,
        registry: CollectorRegistry = REGISTRY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # The one retry is for a connection that Elasticsearch closed when it was restarted.
        self._client = Elasticsearch(list(urls), timeout=timeout_s, max_retries=1, retry_on_timeout=False, maxsize=16)
        self._alias = alias
        self._clock = clock
        self._facets = (float("-inf"), Facets())
        self._seconds = Histogram(
            "cctv_ui_search_seconds", "Time that Elasticsearch took", ["ask"], buckets=BUCKETS, registry=registry
        )
        self._bad = Counter("cctv_ui_bad_documents", "Times that a document found was no detection", registry=registry)

    async def check(self) -> None:
        """Raise Away unless a search would be answered."""
        await self._ask("check", {"size": 0, "terminate_after": 1, "track_total_hits": False})

    async def facets(self) -> Facets:
        """Cameras and classes of all detections."""
        until, facets = self._facets
        if self._clock() < until:
            return facets
        said = (await self._ask("facets", facets_body()))["aggregations"]
        first, last = said["first"]["value"], said["last"]["value"]
        facets = Facets(
            [one["key"] for one in said["cameras"]["buckets"] if CAMERA_ID.fullmatch(one["key"])],
            sorted(one["key"] for one in said["classes"]["buckets"] if CLASS.fullmatch(one["key"])),
            None if first is None else int(first),
            None if last is None else int(last),
        )
        self._facets = (self._clock() + FACETS_S, facets)
        return facets

    @property
    def known(self) -> Facets:
        """The last answer of ``facets``: something to choose from while Elasticsearch is away."""
        return self._facets[1]

    async def frames(self, search: Search, size: int, now: int) -> Page:
        """A page of frames."""
        body = frames_body(search, size, now)
        frames: list[Found] = []
        more = True
        while more and not frames:  # what is no detection makes no page that says that there is nothing
            hits = (await self._ask("frames", body))["hits"]["hits"]
            more = len(hits) > size
            body["search_after"] = hits[size - 1]["sort"] if more else None
            for hit in hits[:size]:
                try:
                    frames.append(Found.of(hit["_source"]))
                except BadDocument:
                    self._bad.inc()
        return Page(frames, frames[-1].key if more else None)

    async def timeline(self, search: Search, span: Span, now: int) -> Timeline:
        """Counts by class over time."""
        return timeline(span, await self._ask("timeline", timeline_body(search, span, now)))

    async def frame(self, id: str) -> Mapping[str, Any] | None:
        """A frame's document; None for none."""
        body = {"size": 1, "query": {"term": {"id": id}}, "track_total_hits": False}
        hits = (await self._ask("frame", body))["hits"]["hits"]
        return hits[0]["_source"] if hits else None

    async def neighbour(self, camera: str, key: Key, order: str) -> str | None:
        """The id of the camera's frame before (desc) or after (asc) ``key``."""
        hits = (await self._ask("neighbour", neighbour_body(camera, key, order)))["hits"]["hits"]
        return str(hits[0]["_source"]["id"]) if hits else None

    async def _ask(self, ask: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        with self._seconds.labels(ask).time():
            return await anyio.to_thread.run_sync(self._search, body)

    def _search(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            # Half an answer is none: who looks for a frame must not believe that it is not there.
            answer: Mapping[str, Any] = self._client.search(
                index=self._alias, body=body, allow_partial_search_results=False
            )
            return answer
        except ConnectionTimeout:
            raise Away("does not answer in time") from None
        except NoConnection:
            raise Away("cannot be reached") from None
        except NotFoundError:
            raise Away(f"has no index {self._alias} yet") from None
        except TransportError as error:
            raise Away(f"says {error.status_code} {error.error}"[:200]) from None
        except ElasticsearchException as error:
            raise Away(f"is none that the client takes: {error}"[:200]) from None
