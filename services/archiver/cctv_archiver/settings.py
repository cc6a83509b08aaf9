"""The archiver's environment."""

from __future__ import annotations

from pathlib import Path

from cctv_common.settings import KafkaSettings, ServiceSettings
from pydantic import Field, field_validator


class Settings(ServiceSettings, KafkaSettings):
    """Field ``image_store_dir`` is the variable ``IMAGE_STORE_DIR``, and so on."""

    kafka_detection_images_topic: str = Field("detection-images", min_length=1)
    image_store_dir: Path = Field(description="the folder at which the image store is mounted, an absolute path")
    archiver_retention_hours: int = Field(
        168, ge=0, description="pictures are removed so many hours after their hour; 0 keeps them for ever"
    )
    archiver_retention_bytes: int = Field(
        0, ge=0, description="the oldest hours are removed while the pictures take more bytes; 0 is no limit"
    )
    archiver_check_interval_ms: int = Field(60_000, ge=100, description="how often old pictures are looked for, in ms")
    archiver_retry_max_ms: int = Field(
        5000, ge=100, description="the longest pause before a store that cannot be used is tried again, in ms"
    )

    @field_validator("image_store_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        if not value.is_absolute():
            raise ValueError("expected an absolute path")
        return value
