"""What is malformed, the same in every run: records that are no frames, and requests of pages and models."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import hypothesis
import numpy as np
from cctv_common.frames import Frame, Headers, Prediction
from cctv_common.jpeg import BadFrame
from hypothesis import strategies as st

JPEG = cv2.imencode(".jpg", np.random.default_rng(1).integers(0, 255, (24, 32, 3), np.uint8))[1].tobytes()
SOUND = Frame("gate", 1_780_000_000_000, 7, 1_780_000_000_500, 32, 24, JPEG, (Prediction("m", "cup", 0.9),), {"a": 1.0})
NAMES = [name for name, __ in SOUND.headers()]
NASTY_NUMBERS = ["", "-1", "1_0", " 1", "1e3", "NaN", "9" * 19, "9" * 400, "٣", "0x10", "1\0"]
NASTY_JSON = [
    "",
    "null",
    "[",
    "[]]",
    "{}",
    "[null]",
    '[{"model":1}]',
    '{"a":NaN}',
    '{"a":1e999}',
    '{"a":"b"}',
    "[" * 5000,
]


def gather(strategy: st.SearchStrategy[Any], count: int, take: Callable[[Any], None]) -> None:
    """Have ``count`` examples taken."""

    @hypothesis.settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy)
    def run(example: Any) -> None:
        take(example)

    run()


@st.composite
def jpegs(draw: st.DrawFn) -> bytes | None:
    """What may stand in the place of a picture: nothing, anything, or one with some bytes changed, lost or doubled."""
    kind = draw(st.sampled_from(["none", "any", "changed", "cut", "doubled", "start", "size"]))
    if kind == "none":
        return None
    if kind == "any":
        return draw(st.binary(max_size=400))
    if kind == "start":
        return b"\xff\xd8" + draw(st.binary(max_size=200)) + b"\xff\xd9"
    data = bytearray(JPEG)
    if kind == "size":
        at = JPEG.index(b"\xff\xc0") + 5
        data[at : at + 4] = draw(st.binary(min_size=4, max_size=4))
    elif kind == "changed":
        # Where the picture is described, as its pixels are nobody's business before they are decoded.
        for at in draw(st.lists(st.integers(0, JPEG.index(b"\xff\xda")), min_size=1, max_size=6)):
            data[at] = draw(st.integers(0, 255))
    else:
        begin, end = sorted(draw(st.tuples(*[st.integers(0, len(JPEG))] * 2)))
        data[begin:end] = b"" if kind == "cut" else data[begin:end] * 2
    return bytes(data)


@st.composite
def headers(draw: st.DrawFn) -> Headers | None:
    """A frame's headers with some of them missing, doubled, or of another content."""
    said: list[tuple[str, str | bytes | None]] = list(SOUND.headers())
    for __ in range(draw(st.sampled_from([0, 0, 1, 2, 3]))):
        name = draw(st.sampled_from(NAMES))
        at = next((at for at, (found, __) in enumerate(said) if found == name), None)
        what = draw(st.sampled_from(["drop", "bytes", "number", "json", "none", "more"]))
        if what == "drop" and at is not None:
            del said[at]
        elif what != "drop":
            content = {
                "bytes": st.binary(max_size=60),
                "number": st.sampled_from(NASTY_NUMBERS).map(str.encode),
                "json": st.sampled_from(NASTY_JSON).map(str.encode),
                "none": st.none(),
                "more": st.text(max_size=20).map(lambda text: text.encode("utf-8", "replace")),
            }[what]
            said.append((name, draw(content)))
    return draw(st.sampled_from([*[said] * 8, [], None]))


def records(count: int, max_bytes: int) -> list[tuple[bytes | None, Headers | None]]:
    """So many records of which none is a frame; each is refused as such, and nothing else happens."""
    found: list[tuple[bytes | None, Headers | None]] = []

    def take(record: tuple[bytes | None, Headers | None]) -> None:
        try:
            Frame.from_record(*record, max_bytes=max_bytes)
        except BadFrame:
            found.append(record)

    # Some are frames after all.
    whole = st.tuples(st.one_of(jpegs(), st.just(JPEG)), headers())
    gather(whole, count + count // 2, take)
    assert len(found) >= count
    return found[:count]


@dataclass(frozen=True)
class Wrong:
    """A request as bytes; ``whole`` unless its body is shorter than it says."""

    data: bytes
    whole: bool


MODEL_PATHS = [
    "/v1/models/imagenet:predict",
    "/v1/models/imagenet",
    "/v1/models/imagenet/metadata",
    "/v1/models/imagenet/versions/1:predict",
]
VIDEO_PATHS = [
    *("/", "/live", "/cameras", "/static/app.js", "/metrics"),
    *("/cameras/bikes/stream.mjpg?width=320&fps=1", "/cameras/bikes/snapshot.jpg?width=64", "/live?cameras=bikes,gone"),
]
UI_PATHS = [
    *("/", "/static/app.js", "/frames/bikes-1-2", "/frames/bikes-1-2.json", "/images/bikes/2026-11-23/00/1.jpg"),
    *("/results?camera=bikes&last=1h", "/?from=2026-11-23T00:00&to=2026-11-24T00:00&class=person&page=2"),
]
BODIES = [
    json.dumps({"instances": [{"b64": base64.b64encode(JPEG).decode()}]}),
    json.dumps({"signature_name": "serving_default", "inputs": {"image_bytes": [{"b64": "AAAA"}]}}),
    json.dumps({"instances": [[1, 2], [3]]}),
    "[" * 2000,
    '{"instances":' + "1" * 4000 + "}",
]


@st.composite
def requests(draw: st.DrawFn, paths: list[str]) -> Wrong:
    """A request with something wrong: its line, its path, its query, its headers, its body, or its length."""
    if draw(st.integers(0, 19)) == 0:
        return Wrong(draw(st.binary(min_size=1, max_size=200)) + b"\r\n\r\n", True)
    path = draw(st.sampled_from(paths)).encode()
    for __ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        at = draw(st.integers(0, len(path)))
        path = (
            path[:at]
            + draw(
                st.sampled_from([b"%", b"%00", b"%ff", b"/../", b"//", b":", b"?", b"&a=%", b"\xc3", b"*", b"9" * 30])
            )
            + path[at:]
        )
    path += draw(
        st.sampled_from(
            [
                b"",
                b"?camera=%ff",
                b"?width=-1",
                b"?fps=nan",
                b"?page=99999999999999999999",
                b"?score=nan&class=%00",
                b"?from=0001-01-01T00:00&to=9999-12-31",
                b"?before=9999999999999999999-x",
                b"?cameras=,,,",
            ]
        )
    )
    method = draw(st.sampled_from([*[b"GET", b"POST", b"HEAD", b"OPTIONS", b"DELETE", b"PUT"] * 4, b"get", b"X"]))
    body = draw(st.one_of(st.just(b""), st.sampled_from(BODIES).map(str.encode), st.binary(max_size=200)))
    if body and draw(st.booleans()):
        at = draw(st.integers(0, len(body) - 1))
        body = body[:at] + draw(st.binary(max_size=4)) + body[at + draw(st.integers(0, 5)) :]
    length = len(body) + draw(st.sampled_from([0, 0, 0, 0, 0, 1, -1]))
    said = [b"Host: x", b"Connection: close", b"Content-Length: %d" % max(length, 0)]
    more = st.sampled_from(
        [
            b"Content-Type: application/json",
            b"Content-Length: x",
            b"Transfer-Encoding: chunked",
            b"Range: bytes=9-1",
            b"If-None-Match: \xff",
            b"Accept-Encoding: gzip;q=x",
            b"Authorization: Basic !!!",
            b"X-Long: " + b"a" * 9000,
            b"bad header",
            b": empty",
        ]
    )
    said += draw(st.lists(more, max_size=2)) if draw(st.booleans()) else []
    head = method + b" " + path + draw(st.sampled_from([*[b" HTTP/1.1"] * 12, b" HTTP/1.0", b" HTTP/9.9", b""]))
    chunked = b"Transfer-Encoding: chunked" in said
    return Wrong(
        b"\r\n".join([head, *said, b"", body]), length <= len(body) and not chunked and b"Content-Length: x" not in said
    )


def wrong_requests(count: int, paths: list[str]) -> list[Wrong]:
    """So many requests."""
    found: list[Wrong] = []
    gather(requests(paths), count, found.append)
    return found
