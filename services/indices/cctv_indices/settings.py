"""The indices service's environment."""

from __future__ import annotations

from cctv_common.settings import ServiceSettings
from pydantic import Field


class Settings(ServiceSettings):
    """The keys of the ConfigMaps ``elasticsearch-indices`` and ``elasticsearch-client``."""

    elasticsearch_url: str = Field(pattern=r"^https?://[^/]+$", description="http://host:port")
    elasticsearch_retention_days: int = Field(30, ge=1, le=36500, description="for how many days detections are kept")
    elasticsearch_snapshots: bool = Field(False, description="whether it has a folder for snapshots, its path.repo")
    indices_check_interval_ms: int = Field(10000, ge=100, description="how often the indices are looked at, in ms")
