"""The topics service's environment."""

from __future__ import annotations

import json
from typing import Annotated

from cctv_common.settings import KafkaSettings, ServiceSettings
from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_settings import NoDecode


class Topic(BaseModel):
    """One topic, as it should be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")
    partitions: int = Field(1, ge=1)
    replication_factor: int = Field(1, ge=1)
    config: dict[str, str] = Field(default_factory=dict, description="what is not named is left as it is")

    @field_validator("config", mode="before")
    @classmethod
    def _as_kafka_writes(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {
            key: str(said).lower() if isinstance(said, bool) else str(said) if isinstance(said, int | float) else said
            for key, said in value.items()
        }


class Settings(ServiceSettings, KafkaSettings):
    """The keys of the ConfigMaps ``kafka-topics`` and ``kafka-client``."""

    topics: Annotated[tuple[Topic, ...], NoDecode] = Field(
        description='JSON: [{"name": "videocam", "partitions": 4, "config": {"retention.ms": 60000}}]'
    )
    topics_check_interval_ms: int = Field(5000, ge=100, description="how often the topics are looked at, in ms")

    @field_validator("topics", mode="before")
    @classmethod
    def _parse(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError(f"is no JSON: {error}") from None

    @field_validator("topics")
    @classmethod
    def _distinct(cls, value: tuple[Topic, ...]) -> tuple[Topic, ...]:
        names = [topic.name for topic in value]
        for twice in (name for name in names if names.count(name) > 1):
            raise ValueError(f"{twice!r} is there twice")
        return value
