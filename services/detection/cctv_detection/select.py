"""Which frames of which camera are looked at, and how: by their number, so that every run selects the same ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field


class Camera(BaseModel):
    """What is done with the frames of one camera."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    every: int = Field(ge=0, description="every how manyth frame is selected; 0: none")
    blur_faces: bool = Field(False, description="whether faces are made unrecognizable in its pictures")


@dataclass(frozen=True)
class Cameras:
    """What is done with the frames of every camera."""

    default: Camera
    """For a camera that is not among the named."""
    named: Mapping[str, Camera] = field(default_factory=dict)

    def of(self, camera: str) -> Camera:
        """What is done with the frames of ``camera``."""
        return self.named.get(camera, self.default)

    def selected(self, camera: str, frame: int) -> bool:
        """Whether the frame of that number is looked at."""
        every = self.of(camera).every
        return every > 0 and frame % every == 0

    def blurred(self) -> bool:
        """Whether there are cameras whose faces are blurred, for which faces must be found."""
        return any(camera.blur_faces for camera in (self.default, *self.named.values()))
