"""The video service's environment."""

from __future__ import annotations

from typing import Annotated

from cctv_common.frames import CAMERA_ID
from cctv_common.settings import KafkaSettings, ServiceSettings
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode


class Settings(ServiceSettings, KafkaSettings):
    """Field ``video_cameras`` is the variable ``VIDEO_CAMERAS``, and so on."""

    http_port: int = Field(30163, ge=1, le=65535, description="the page's port")
    video_cameras: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="camera ids to expect, separated by commas; others are shown too, once they send frames"
    )
    video_max_cameras: int = Field(64, ge=1, le=1000, description="cameras shown beyond the expected ones")
    video_max_viewers: int = Field(256, ge=1, le=10000, description="streams open at a time")
    video_write_timeout_ms: int = Field(
        5000, ge=100, description="how long a viewer may take no byte before it is dropped, in ms"
    )
    video_root_path: str = Field(
        "", pattern=r"^(/[A-Za-z0-9._~-]+)*$", description="path below which a proxy asks for the page, such as /cctv"
    )
    video_username: str = Field("cctv", pattern=r"^[^:\s]{1,64}$", description="who the password is for")
    video_password: SecretStr = Field(SecretStr(""), description="asked of everyone who comes; none when empty")
    video_stats_window_ms: int = Field(5000, ge=1000, le=60000, description="span of the figures in /cameras, in ms")
    frame_max_age_ms: int = Field(2000, ge=1, description="older frames are dropped on arrival, in ms")
    camera_silent_after_ms: int = Field(3000, ge=100, description="a camera without frames so long is silent, in ms")
    camera_forget_after_ms: int = Field(
        600_000, ge=1000, description="an unexpected camera that is silent for so long is forgotten, in ms"
    )

    @field_validator("video_cameras", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        ids = [part.strip() for part in value.split(",") if part.strip()]
        for wrong in (i for i in ids if not CAMERA_ID.fullmatch(i)):
            raise ValueError(f"{wrong!r} is no camera id (a DNS label of at most 40 characters)")
        for twice in (i for i in ids if ids.count(i) > 1):
            raise ValueError(f"{twice!r} is there twice")
        return tuple(ids)
