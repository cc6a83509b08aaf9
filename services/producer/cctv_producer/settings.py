"""The producer's environment."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Self

from cctv_common.frames import CAMERA_ID
from cctv_common.settings import KafkaSettings, ServiceSettings
from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from cctv_producer.image import Box, Operations, parse_box
from cctv_producer.location import Location, locate, with_login, with_substream

BOX = "x,y,width,height in fractions 0..1 of the camera's picture"


def _crop(value: object) -> object:
    return (parse_box(value) if value.strip() else None) if isinstance(value, str) else value


def _masks(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(parse_box(box) for box in value.split(";")) if value.strip() else ()


class Settings(ServiceSettings, KafkaSettings):
    """One camera, and what is done to its pictures."""

    camera_id: str = Field(description="letters a-z, digits and hyphens, at most 40")
    camera_url: SecretStr
    camera_substream: SecretStr = SecretStr("")
    camera_username: SecretStr = SecretStr("")
    camera_password: SecretStr = SecretStr("")
    camera_fps: float = Field(0, ge=0, le=120, allow_inf_nan=False, description="frames/s to send, 0 for all")
    camera_width: int = Field(0, ge=0, le=7680, description="pixels that a sent picture is wide at most, 0 for any")
    camera_crop: Annotated[Box | None, NoDecode, BeforeValidator(_crop)] = Field(None, description=BOX)
    camera_rotate: int = Field(0, description="degrees clockwise")
    camera_grayscale: bool = False
    camera_privacy_masks: Annotated[tuple[Box, ...], NoDecode, BeforeValidator(_masks)] = Field(
        (), description=f"{BOX}, several separated by ;"
    )
    camera_timeout_ms: int = Field(
        5000,
        ge=500,
        le=60000,
        description="a camera that sends nothing for so long is given up; opening may take twice",
    )
    camera_backoff_max_ms: int = Field(
        10000, ge=100, le=600000, description="longest wait between two tries to connect"
    )
    camera_frozen_after_s: float = Field(
        60, ge=0, le=86400, allow_inf_nan=False, description="seconds of one picture that make it frozen, 0 for never"
    )
    jpeg_quality: int = Field(80, ge=1, le=100)
    frame_max_age_ms: int = Field(1000, ge=50, le=60000, description="older frames are given up")

    @field_validator("camera_id")
    @classmethod
    def _id(cls, value: str) -> str:
        if not CAMERA_ID.fullmatch(value):
            raise ValueError("it is no camera id")
        return value

    @field_validator("camera_url")
    @classmethod
    def _url(cls, value: SecretStr) -> SecretStr:
        locate(value.get_secret_value())
        return value

    @field_validator("camera_rotate")
    @classmethod
    def _rotate(cls, value: int) -> int:
        if value not in (0, 90, 180, 270):
            raise ValueError("expected 0, 90, 180 or 270")
        return value

    @field_validator("camera_fps")
    @classmethod
    def _fps(cls, value: float) -> float:
        if 0 < value < 0.01:
            raise ValueError("expected 0, or at least 0.01")
        return value

    @model_validator(mode="after")
    def _whole_url(self) -> Self:
        assert self.location
        return self

    @cached_property
    def location(self) -> Location:
        """What is read: what ``camera_url`` names, or its substream, with user and password."""
        url, substream, username, password = (
            secret.get_secret_value()
            for secret in (self.camera_url, self.camera_substream, self.camera_username, self.camera_password)
        )
        if password and not username:
            raise ValueError("CAMERA_USERNAME is not set; expected a user's name, as CAMERA_PASSWORD is")
        name = "CAMERA_SUBSTREAM"
        try:
            if substream:
                url = with_substream(url, substream)
            name = "CAMERA_USERNAME"
            if username:
                url = with_login(url, username, password)
        except ValueError as error:
            raise ValueError(f"{name}=(secret): {error}") from None
        return locate(url)

    @property
    def operations(self) -> Operations:
        """What is done to each picture."""
        return Operations(
            masks=self.camera_privacy_masks,
            crop=self.camera_crop,
            rotate=self.camera_rotate,
            width=self.camera_width,
            grayscale=self.camera_grayscale,
        )
