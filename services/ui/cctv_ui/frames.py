"""A frame as pages show it, from its document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from cctv_common.images import IMAGE_PATH

from cctv_ui.search import Key


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
        """Read a document."""
        image = str(document["image"])
        return cls(
            id=str(document["id"]),
            camera=str(document["camera"]),
            at=int(document["captured_at"]),
            detected_at=int(document["detected_at"]),
            width=int(document["width"]),
            height=int(document["height"]),
            # Into a link goes only what the store can have.
            image=image if IMAGE_PATH.fullmatch(image) else "",
            objects=[_detection(str(one["class"]), one) for one in document["objects"]],
            faces=[_detection("face", one) for one in document["faces"]],
            faces_blurred=bool(document["faces_blurred"]),
            models=[f"{one['name']} {one['version']}" for one in document["models"]],
        )

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
