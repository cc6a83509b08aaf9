"""The UI's environment."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from cctv_common.settings import ServiceSettings
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

URL = re.compile(r"https?://[A-Za-z0-9._-]+(:[0-9]{1,5})?/?")


class Settings(ServiceSettings):
    """Field ``image_store_dir`` is the variable ``IMAGE_STORE_DIR``, and so on."""

    http_port: int = Field(30164, ge=1, le=65535, description="the page's port")
    elasticsearch_url: Annotated[tuple[str, ...], NoDecode] = Field(
        description="http://host:port[,http://host:port...]"
    )
    elasticsearch_alias: str = Field("detections", pattern=r"^[a-z0-9][a-z0-9._-]{0,200}$")
    image_store_dir: Path = Field(description="folder with the pictures that the archiver wrote")
    ui_page_size: int = Field(48, ge=1, le=500, description="pictures of a page")
    ui_refresh_ms: int = Field(2000, ge=250, le=600_000, description="time between two looks for new frames, in ms")
    ui_timeout_ms: int = Field(
        3000, ge=100, le=60_000, description="how long Elasticsearch or the image store may take to answer, in ms"
    )
    ui_username: str = Field("cctv", pattern=r"^[^:\s]{1,64}$", description="who the password is for")
    ui_password: SecretStr = Field(SecretStr(""), description="asked of everyone who comes; none when empty")

    @field_validator("elasticsearch_url", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        urls = tuple(part.strip() for part in value.split(",") if part.strip())
        if not urls or not all(URL.fullmatch(url) for url in urls):
            raise ValueError("expected http://host:port, or several with commas")
        return urls

    @field_validator("image_store_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        if not value.is_absolute():
            raise ValueError("expected an absolute path")
        return value
