"""A frame as pages show it, from its document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from cctv_common.frames import CAMERA_ID
from cctv_common.images import IMAGE_PATH, LATEST_MS

from cctv_ui.search import FRAME_ID, Key


class BadDocument(ValueError):
    """The index has something that is no detection: its mapping refuses wrong fields, but no missing ones."""


@dataclass(frozen=True, slots=True)
class Detection:
    """One object or face of a frame."""

    name: str
    score: float
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Found:
    """A frame in which something was looked for."""

    id: str
    camera: str
    at: int
    detected_at: int
    width: int
    height: int
    image: str
    objects: Sequence[Detection]
    faces: Sequence[Detection]
    faces_blurred: bool
    models: Sequence[str]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Read a document; raises BadDocument."""
        try:
            if not FRAME_ID.fullmatch(document["id"]) or not CAMERA_ID.fullmatch(document["camera"]):
                raise BadDocument(document["id"])
            return cls(
                id=document["id"],
                camera=document["camera"],
                at=_time(document["captured_at"]),
                detected_at=int(document["detected_at"]),
                width=int(document["width"]),
                height=int(document["height"]),
                # Into a link goes only what the store can have.
                image=document["image"] if IMAGE_PATH.fullmatch(document["image"]) else "",
                objects=[_detection(str(one["class"]), one) for one in document["objects"]],
                faces=[_detection("face", one) for one in document["faces"]],
                faces_blurred=bool(document["faces_blurred"]),
                models=[f"{one['name']} {one['version']}" for one in document["models"]],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadDocument(str(error)) from None

    @property
    def key(self) -> Key:
        """Its place in the order of frames."""
        return Key(self.at, self.id)

    @property
    def detections(self) -> Sequence[Detection]:
        """Objects, then faces."""
        return [*self.objects, *self.faces]

    @property
    def counts(self) -> Sequence[tuple[str, int]]:
        """How many of what, the most certain first."""
        return list(Counter(one.name for one in self.detections).items())

    @property
    def summary(self) -> str:
        """In words: ``2 person, 1 face``."""
        return ", ".join(f"{count} {name}" for name, count in self.counts) or "nothing detected"


def _detection(name: str, said: Mapping[str, Any]) -> Detection:
    box = said["box"]
    return Detection(name, float(said["score"]), int(box["x"]), int(box["y"]), int(box["width"]), int(box["height"]))


def _time(said: Any) -> int:
    at = int(said)
    if not 0 <= at <= LATEST_MS:
        raise ValueError(f"captured_at is {at}")
    return at
