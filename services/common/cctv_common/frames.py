"""The Kafka record of one frame: value = JPEG, key = camera id, everything else in headers.

============== ===================================================================
header         UTF-8 text
============== ===================================================================
camera         camera id, a DNS label
epoch          the producer's start, ms since 1970
frame          sequence number within the epoch, from 0
captured_at    ms since 1970
width, height  pixels
predictions    ``videodisplay`` only: JSON list of Prediction
stage_ms       ``videodisplay`` only: JSON object, stage name -> ms spent there
============== ===================================================================
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cctv_common.jpeg import MAX_PIXELS, BadFrame, dimensions

CAMERA_ID = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")
"""A DNS label short enough to leave room for a workload's name before it."""

Headers = Sequence[tuple[str, str | bytes | None]]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What one model says of one frame; ``error`` is set instead of a label when it could not say."""

    model: str
    label: str = ""
    probability: float = 0.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of one camera."""

    camera: str
    epoch: int
    frame: int
    captured_at: int
    width: int
    height: int
    jpeg: bytes
    predictions: tuple[Prediction, ...] = ()
    stage_ms: Mapping[str, float] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The deterministic id under which anything derived from this frame is stored."""
        return f"{self.camera}-{self.epoch}-{self.frame}"

    def age_ms(self, now_ms: float) -> float:
        """Milliseconds from capture to ``now_ms``; negative when the clocks disagree."""
        return now_ms - self.captured_at

    def headers(self) -> list[tuple[str, str | bytes | None]]:
        """The record's headers, as confluent-kafka takes them."""
        out: list[tuple[str, str | bytes | None]] = [
            (name, str(getattr(self, name)).encode())
            for name in ("camera", "epoch", "frame", "captured_at", "width", "height")
        ]
        if self.predictions:
            said = [
                {
                    k: v
                    for k, v in (
                        ("model", p.model),
                        ("label", p.label),
                        ("probability", round(p.probability, 4)),
                        ("error", p.error),
                    )
                    if v != ""
                }
                for p in self.predictions
            ]
            out.append(("predictions", json.dumps(said, ensure_ascii=False).encode()))
        if self.stage_ms:
            out.append(("stage_ms", json.dumps({k: round(v, 2) for k, v in self.stage_ms.items()}).encode()))
        return out

    @classmethod
    def from_record(
        cls, value: bytes | None, headers: Headers | None, *, max_bytes: int, max_pixels: int = MAX_PIXELS
    ) -> Frame:
        """Read a record; raises BadFrame with the cause to count when it is none of ours."""
        if value is None:
            raise BadFrame("not_jpeg", "has no value")
        if len(value) > max_bytes:
            raise BadFrame("too_large", f"has {len(value)} bytes, at most {max_bytes} are taken")
        said = dict(headers or ())
        try:
            text = {name: _text(said[name]) for name in ("camera", "epoch", "frame", "captured_at", "width", "height")}
        except KeyError as error:
            raise BadFrame("missing_header", f"lacks the header {error.args[0]}") from None
        if not CAMERA_ID.fullmatch(text["camera"]):
            raise BadFrame("bad_header", "its header camera is no camera id")
        numbers = {name: _number(name, text[name]) for name in ("epoch", "frame", "captured_at", "width", "height")}
        size = dimensions(value, max_pixels)
        if size != (numbers["width"], numbers["height"]):
            raise BadFrame(
                "bad_header", f"its headers say {text['width']}x{text['height']}, its JPEG {size[0]}x{size[1]}"
            )
        return cls(
            camera=text["camera"],
            jpeg=value,
            **numbers,
            predictions=_predictions(said.get("predictions")),
            stage_ms=_stages(said.get("stage_ms")),
        )


def _text(content: str | bytes | None) -> str:
    if isinstance(content, bytes):
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise BadFrame("bad_header", "a header is not UTF-8") from None
    return content or ""


def _number(name: str, text: str) -> int:
    # Kafka headers come from anywhere: int() alone would take "1_0", " 1" and numbers of any length.
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise BadFrame("bad_header", f"its header {name} is no number")
    return int(text)


def _json(name: str, content: str | bytes) -> Any:
    try:
        return json.loads(_text(content))
    except (ValueError, RecursionError):
        raise BadFrame("bad_header", f"its header {name} is no JSON") from None


def _predictions(content: str | bytes | None) -> tuple[Prediction, ...]:
    if content is None:
        return ()
    try:
        return tuple(
            Prediction(
                str(p["model"]), str(p.get("label", "")), _finite(p.get("probability", 0)), str(p.get("error", ""))
            )
            for p in _json("predictions", content)
        )
    except (TypeError, KeyError, AttributeError, ValueError, OverflowError) as error:
        if isinstance(error, BadFrame):
            raise
        raise BadFrame("bad_header", "its header predictions is no list of predictions") from None


def _finite(number: Any) -> float:
    # JSON as Python reads it may say NaN and Infinity, which no browser takes.
    if not math.isfinite(value := float(number)):
        raise ValueError("is no number")
    return value


def _stages(content: str | bytes | None) -> dict[str, float]:
    if content is None:
        return {}
    try:
        return {str(k): _finite(v) for k, v in _json("stage_ms", content).items()}
    except (TypeError, AttributeError, ValueError, OverflowError) as error:
        if isinstance(error, BadFrame):
            raise
        raise BadFrame("bad_header", "its header stage_ms is no object of numbers") from None
