from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import pytest
from cctv_ui.search import BARS, DAY, HOUR, STEPS, BadSearch, Key, Search, Span, frames_body, iso, timeline
from starlette.datastructures import QueryParams

NINE = 1_780_304_400_000
"""2026-06-01T09:00Z."""


def parse(query: str) -> Search:
    return Search.parse(QueryParams(query))


def filters(query: str) -> list[dict[str, Any]]:
    return parse(query).filters(NINE)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "camera=gate",
        "camera=gate&score=0.5&face=1&class=bus&class=dining+table",
        "last=1h",
        "from=2026-06-01T09:00:00Z&to=2026-06-01T10:00:00.250Z",
        "from=2026-06-01T09:00:00Z&before=1780304400000,gate-1780300000000-7",
    ],
)
def test_a_link_says_the_whole_search_and_no_more(query: str) -> None:
    assert parse(query).query() == query
    assert parse(parse(query).query()) == parse(query)


@pytest.mark.parametrize(
    ("typed", "means"),
    [
        ("camera=&class=&face=&score=&last=&from=&to=", ""),  # a form's empty fields
        ("from=2026-06-01T09:00", "from=2026-06-01T09:00:00Z"),
        ("from=2026-06-01T11:00%2B02:00", "from=2026-06-01T09:00:00Z"),
        ("last=1h&from=2026-06-01T09:00Z", "from=2026-06-01T09:00:00Z"),
        ("class=person&class=bus&class=person", "class=bus&class=person"),
        ("utm=x", ""),
    ],
)
def test_what_a_person_or_a_form_says(typed: str, means: str) -> None:
    assert parse(typed).query() == means


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("camera=../../etc", "camera=../../etc: expected the id of a camera"),
        ("class=<b>", "class=<b>: expected the name of a class"),
        ("score=2", "score=2: expected a number from 0 to 1"),
        ("score=nan", "score=nan: expected a number"),
        ("last=1y", "last=1y: expected one of 15m"),
        ("from=yesterday", "from=yesterday: expected a time such as"),
        ("from=0001-01-01T00:00Z", "expected a time such as"),
        ("to=9999-12-31T23:59:59-23:00", "expected a time such as"),
        ("from=2026-06-02&to=2026-06-01", "to=2026-06-01: expected a time after 2026-06-02"),
        ("before=1", "before=1: expected the time in ms and the id"),
        ("before=9999999999999999999999,gate-1-1", "expected the time in ms"),
        ("before=1,../1", "expected the time in ms"),
    ],
)
def test_what_is_no_search_is_said(query: str, said: str) -> None:
    with pytest.raises(BadSearch, match=said.replace(".", r"\.")):
        parse(query)


def test_everything_asked_for_must_hold() -> None:
    assert filters("") == []
    assert filters("camera=gate&class=person&class=bus&face=1") == [
        {"term": {"camera": "gate"}},
        {"term": {"classes": "bus"}},
        {"term": {"classes": "person"}},
        {"range": {"face_count": {"gt": 0}}},
    ]
    assert filters("last=1h") == [{"range": {"@timestamp": {"format": "epoch_millis", "gte": NINE - HOUR}}}]
    assert filters("to=2026-06-01T09:00Z") == [{"range": {"@timestamp": {"format": "epoch_millis", "lte": NINE}}}]


def test_a_score_is_that_of_each_class_asked_for() -> None:
    asked = filters("class=person&class=bus&score=0.6")[2:]
    assert [one["nested"]["query"]["bool"]["filter"] for one in asked] == [
        [{"term": {"objects.class": name}}, {"range": {"objects.score": {"gte": 0.6}}}] for name in ("bus", "person")
    ]
    (any_object,) = filters("score=0.6")
    assert any_object["nested"]["query"]["bool"]["filter"] == [{"range": {"objects.score": {"gte": 0.6}}}]


def test_older_frames_go_on_where_a_page_ended() -> None:
    body = frames_body(parse(f"before={NINE},gate-1-2"), 10, NINE)
    assert body["search_after"] == [NINE, "gate-1-2"]
    assert [[*one] for one in body["sort"]] == [["@timestamp"], ["id"]]
    assert body["size"] == 11


def test_only_a_search_without_end_is_live() -> None:
    assert parse("from=2026-06-01T09:00Z").live and parse("last=1h").live
    assert not parse("to=2026-06-01T09:00Z").live
    assert not parse("before=1,gate-1-1").live


@pytest.mark.parametrize("length", [0, 1, 59_000, HOUR, DAY, 7 * DAY, 400 * DAY, 8000 * DAY])
@pytest.mark.parametrize("offset", [0, 1, HOUR - 1])
def test_a_timeline_covers_its_time_in_few_columns(length: int, offset: int) -> None:
    start, end = NINE + offset, NINE + offset + length
    span = Span.of(start, end)
    assert span.start <= start and end < span.end
    assert 1 <= span.columns <= BARS + 1
    assert span.step in STEPS and span.start % span.step == 0


def test_counts_are_put_into_their_columns() -> None:
    def bucket(at: int, count: int, faces: int, **classes: int) -> dict[str, Any]:
        said = [{"key": name, "doc_count": count} for name, count in classes.items()]
        return {"key": at, "doc_count": count, "faces": {"doc_count": faces}, "classes": {"buckets": said}}

    span = Span(NINE, NINE + 3 * HOUR, HOUR)
    buckets = [bucket(NINE, 5, 0, person=4, bus=1), bucket(NINE + 2 * HOUR, 3, 2, bus=3), bucket(span.end, 9, 9)]
    found = timeline(span, {"aggregations": {"times": {"buckets": buckets}}})
    assert found.frames.counts == [5, 0, 3]
    assert [(row.name, row.counts, row.total) for row in found.rows] == [
        ("bus", [1, 0, 3], 4),
        ("person", [4, 0, 0], 4),
        ("face", [0, 0, 2], 2),
    ]
    assert [iso(at) for at in found.column(2)] == ["2026-06-01T11:00:00Z", "2026-06-01T11:59:59.999Z"]


def test_a_key_is_said_and_read() -> None:
    key = Key(NINE, "front-gate-1780300000000-7")
    assert Key.parse(str(key)) == key
    assert dict(parse_qsl(Search(before=key).query())) == {"before": str(key)}
