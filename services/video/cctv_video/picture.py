"""A frame as it goes out to browsers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from cctv_common.frames import Frame

BOUNDARY = b"frame"


@dataclass(frozen=True, slots=True)
class Picture:
    """``chunk`` is its piece of a multipart stream, made once for all viewers."""

    camera: str
    key: tuple[int, int]
    captured_at: int
    age_ms: float
    width: int
    jpeg: bytes
    label: str
    chunk: bytes

    @classmethod
    def of(cls, frame: Frame, age_ms: float) -> Picture:
        """Make a frame ready to send; ``age_ms`` is its age now."""
        label = next((p.label for p in frame.predictions if p.label), "")
        return cls(
            camera=frame.camera,
            key=(frame.epoch, frame.frame),
            captured_at=frame.captured_at,
            age_ms=age_ms,
            width=frame.width,
            jpeg=frame.jpeg,
            label=label,
            chunk=part(describe(frame.camera, frame.frame, frame.captured_at, label), frame.jpeg),
        )

    def resized(self, jpeg: bytes, width: int) -> Picture:
        """Return the same picture in another size."""
        return replace(self, jpeg=jpeg, width=width, chunk=part(self.headers(), jpeg))

    def headers(self) -> dict[str, str]:
        """The headers that describe the picture."""
        return describe(self.camera, self.key[1], self.captured_at, self.label)


def describe(camera: str, frame: int, captured_at: int, label: str) -> dict[str, str]:
    """A picture's own headers; the label comes from a record, so all but plain characters are percent-encoded."""
    said = {"X-Camera": camera, "X-Frame": str(frame), "X-Captured-At": str(captured_at)}
    return said | {"X-Label": quote(label[:200], safe=" ,'()/")} if label else said


def part(headers: dict[str, Any], body: bytes) -> bytes:
    """One part of a stream that began with a boundary, and the *next* boundary: without it a browser waits.

    As a chunk of an HTTP/1.1 body.
    """
    said = {"Content-Type": "image/jpeg"} if body else {}
    said |= {"Content-Length": len(body)} | headers
    head = "".join(f"{name}: {value}\r\n" for name, value in said.items()).encode("ascii")
    tail = b"\r\n--" + BOUNDARY + b"\r\n"
    return b"".join((b"%x\r\n" % (len(head) + 2 + len(body) + len(tail)), head, b"\r\n", body, tail, b"\r\n"))


HEARTBEAT = part({}, b"")
