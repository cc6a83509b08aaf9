"""What the server reads from its environment: what tensorflow_model_server has no flag for."""

from __future__ import annotations

from typing import Literal

from cctv_common.settings import ServiceSettings
from pydantic import Field


class Settings(ServiceSettings):
    """The keys of the ConfigMap ``tf-serving``."""

    engine: Literal["tensorflow", "openvino"] = Field("tensorflow", description="what runs the models")
    openvino_precision: Literal["f32", "f16", "bf16"] = Field("f32", description="numbers that OpenVINO computes with")
    http_host: str = Field("0.0.0.0", description="address that gRPC and REST listen on")
    max_in_flight: int = Field(16, ge=1, le=1024, description="predictions that run or wait; more are refused at once")
    max_request_bytes: int = Field(64 * 1024 * 1024, ge=1024, description="largest request of both interfaces")
