"""A search, as its link says it and as Elasticsearch is asked for it. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol, Self
from urllib.parse import urlencode

from cctv_common.frames import CAMERA_ID
from cctv_common.images import LATEST_MS

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
SPANS = {"15m": 15 * MINUTE, "1h": HOUR, "6h": 6 * HOUR, "24h": DAY, "7d": 7 * DAY}
STEPS = [
    *(seconds * 1000 for seconds in (1, 2, 5, 10, 15, 30)),
    *(minutes * MINUTE for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * HOUR for hours in (1, 2, 3, 6, 12)),
    *(days * DAY for days in (1, 2, 7, 14, 28, 56, 182)),
]
BARS = 60
"""At most so many columns has the timeline, and one more where the first and the last are cut."""
CLASS = re.compile(r"[a-z0-9]([-a-z0-9 _]{0,62}[a-z0-9])?")
FRAME_ID = re.compile(rf"(?P<camera>{CAMERA_ID.pattern})-(?P<epoch>[0-9]{{1,18}})-(?P<frame>[0-9]{{1,18}})")
SORT = [{"@timestamp": "desc"}, {"id": "desc"}]
"""Newest first; of frames of one millisecond, by id, so that no page repeats or leaves out one."""


class BadSearch(ValueError):
    """What a link asks for is no search; the message says what was expected."""


class Parameters(Protocol):
    """A query string's parameters, as Starlette has them."""

    def get(self, key: str) -> Any: ...  # noqa: D102

    def getlist(self, key: Any) -> list[str]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Key:
    """Where a frame stands in the order of frames."""

    at: int
    id: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``<ms>,<id>``."""
        at, __, frame = text.partition(",")
        if not (at.isascii() and at.isdigit() and int(at[:16]) <= LATEST_MS and FRAME_ID.fullmatch(frame)):
            raise BadSearch(f"before={text[:80]}: expected the time in ms and the id of a frame")
        return cls(int(at), frame)

    def __str__(self) -> str:
        return f"{self.at},{self.id}"


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for; times are ms since 1970, ``None`` for none."""

    camera: str = ""
    classes: tuple[str, ...] = ()
    face: bool = False
    score: float = 0.0
    last: str = ""
    start: int | None = None
    end: int | None = None
    before: Key | None = None

    @classmethod
    def parse(cls, said: Parameters) -> Self:
        """Read a link's parameters; raises BadSearch for one that is wrong."""
        camera, last = said.get("camera") or "", said.get("last") or ""
        if camera and not CAMERA_ID.fullmatch(camera):
            raise BadSearch(f"camera={camera[:80]}: expected the id of a camera")
        if last and last not in SPANS:
            raise BadSearch(f"last={last[:80]}: expected one of {', '.join(SPANS)}")
        classes = tuple(sorted({name for name in said.getlist("class") if name}))
        for wrong in (name for name in classes if not CLASS.fullmatch(name)):
            raise BadSearch(f"class={wrong[:80]}: expected the name of a class")
        start, end = _time("from", said.get("from") or ""), _time("to", said.get("to") or "")
        if start is not None and end is not None and start > end:
            raise BadSearch(f"to={said.get('to')}: expected a time after {said.get('from')}")
        before = said.get("before") or ""
        return cls(
            camera=camera,
            classes=classes,
            face=said.get("face") == "1",
            score=_score(said.get("score") or ""),
            last="" if start is not None or end is not None else last,
            start=start,
            end=end,
            before=Key.parse(before) if before else None,
        )

    @property
    def live(self) -> bool:
        """Whether a frame that comes now can be one that is looked for."""
        return self.end is None and self.before is None

    def query(self, **changed: Any) -> str:
        """The link's query string, of this search or one that differs in ``changed``; times are in UTC."""
        search = replace(self, **changed)
        # In the form's own order, so that a search has one link however it was made.
        said = [("camera", search.camera), ("last", search.last), ("from", iso(search.start)), ("to", iso(search.end))]
        said += [("score", f"{search.score:g}" if search.score else ""), ("face", "1" * search.face)]
        said += [*(("class", name) for name in search.classes), ("before", str(search.before or ""))]
        return urlencode([(name, value) for name, value in said if value], safe=":,")

    def since(self, now: int) -> int | None:
        """The first moment that is looked for."""
        return now - SPANS[self.last] if self.last else self.start

    def filters(self, now: int) -> list[dict[str, Any]]:
        """What every frame that is looked for meets."""
        span: dict[str, Any] = {"format": "epoch_millis"}
        if (since := self.since(now)) is not None:
            span["gte"] = since
        if self.end is not None:
            span["lte"] = self.end
        found: list[dict[str, Any]] = [{"range": {"@timestamp": span}}] if len(span) > 1 else []
        if self.camera:
            found.append({"term": {"camera": self.camera}})
        found += [{"term": {"classes": name}} for name in self.classes]
        if self.face:
            found.append({"range": {"face_count": {"gt": 0}}})
        if self.score:
            # One object has both the class and the score.
            scored = {"range": {"objects.score": {"gte": self.score}}}
            wanted = [[{"term": {"objects.class": name}}, scored] for name in self.classes] or [[scored]]
            found += [{"nested": {"path": "objects", "query": {"bool": {"filter": both}}}} for both in wanted]
        return found


def frames_body(search: Search, size: int, now: int) -> dict[str, Any]:
    """Ask for a page of frames, and for one more, which tells that there are older ones."""
    body: dict[str, Any] = {
        "size": size + 1,
        "query": {"bool": {"filter": search.filters(now)}},
        "sort": SORT,
        "track_total_hits": False,
    }
    if search.before:
        body["search_after"] = [search.before.at, search.before.id]
    return body


def neighbour_body(camera: str, key: Key, order: str) -> dict[str, Any]:
    """Ask for the id of the camera's frame that follows ``key`` in ``order``: asc or desc."""
    return {
        "size": 1,
        "query": {"bool": {"filter": [{"term": {"camera": camera}}]}},
        "sort": [{"@timestamp": order}, {"id": order}],
        "search_after": [key.at, key.id],
        "track_total_hits": False,
        "_source": ["id"],
    }


def facets_body() -> dict[str, Any]:
    """Ask what there is to choose from: cameras, classes, and the time between the first and the last frame."""
    return {
        "size": 0,
        "track_total_hits": False,
        "aggs": {
            "cameras": {"terms": {"field": "camera", "size": 1000, "order": {"_key": "asc"}}},
            "classes": {"terms": {"field": "classes", "size": 200}},
            "first": {"min": {"field": "@timestamp"}},
            "last": {"max": {"field": "@timestamp"}},
        },
    }


@dataclass(frozen=True, slots=True)
class Span:
    """The time that a timeline covers, in columns of ``step`` ms; starts and ends at a whole step."""

    start: int
    end: int
    step: int

    @classmethod
    def of(cls, start: int, end: int) -> Self:
        """Cover from ``start`` to ``end`` by the finest step that needs few columns."""
        step = next((step for step in STEPS if (end - start) / step <= BARS), STEPS[-1])
        return cls(start // step * step, end // step * step + step, step)

    @property
    def columns(self) -> int:
        """How many there are."""
        return (self.end - self.start) // self.step


def timeline_body(search: Search, span: Span, now: int) -> dict[str, Any]:
    """Ask for counts by class over time, and for the frames with faces."""
    return {
        "size": 0,
        "track_total_hits": False,
        "query": {"bool": {"filter": search.filters(now)}},
        "aggs": {
            "times": {
                "date_histogram": {"field": "@timestamp", "fixed_interval": f"{span.step}ms", "min_doc_count": 1},
                "aggs": {
                    "classes": {"terms": {"field": "classes", "size": 200}},
                    "faces": {"filter": {"range": {"face_count": {"gt": 0}}}},
                },
            }
        },
    }


@dataclass(frozen=True, slots=True)
class Row:
    """Frames with one class, column by column."""

    name: str
    counts: Sequence[int]

    @property
    def total(self) -> int:
        """Frames in all columns."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class Timeline:
    """Counts over time, the most frequent class first; ``frames`` counts every frame that was found."""

    span: Span
    frames: Row
    rows: list[Row]

    def column(self, index: int) -> tuple[int, int]:
        """From when to when a column goes."""
        start = self.span.start + index * self.span.step
        return start, start + self.span.step - 1


def timeline(span: Span, answer: Mapping[str, Any]) -> Timeline:
    """Read Elasticsearch's answer to ``timeline_body``."""
    found = [0] * span.columns
    faces = [0] * span.columns
    classes: dict[str, list[int]] = {}
    for bucket in answer["aggregations"]["times"]["buckets"]:
        index = (int(bucket["key"]) - span.start) // span.step
        if not 0 <= index < span.columns:
            continue  # newer than this request
        found[index] = bucket["doc_count"]
        faces[index] = bucket["faces"]["doc_count"]
        for one in (one for one in bucket["classes"]["buckets"] if CLASS.fullmatch(one["key"])):
            classes.setdefault(one["key"], [0] * span.columns)[index] = one["doc_count"]
    rows = [Row(name, counts) for name, counts in sorted(classes.items(), key=lambda item: (-sum(item[1]), item[0]))]
    return Timeline(span, Row("frames", found), [*rows, Row("face", faces)] if any(faces) else rows)


def iso(at: int | None) -> str:
    """ISO 8601 in UTC, with milliseconds only where there are some; empty for no time."""
    if at is None:
        return ""
    whole = datetime.fromtimestamp(at // 1000, UTC).replace(tzinfo=None).isoformat(timespec="seconds")
    return f"{whole}.{at % 1000:03}Z" if at % 1000 else f"{whole}Z"


def _time(name: str, text: str) -> int | None:
    if not text:
        return None
    try:
        # A form without a script sends what was typed; its label says UTC.
        at = datetime.fromisoformat(text)
        ms = round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        ms = -1
    if not 0 <= ms <= LATEST_MS:
        raise BadSearch(f"{name}={text[:80]}: expected a time such as 2030-01-31T09:00Z")
    return ms


def _score(text: str) -> float:
    try:
        score = float(text or 0)
    except ValueError:
        score = math.nan
    if not 0 <= score <= 1:
        raise BadSearch(f"score={text[:80]}: expected a number from 0 to 1")
    return score
