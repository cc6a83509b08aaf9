"""Which models to serve: a ModelServerConfig, from the flags, a file, or the reload RPC."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import grpc
from tensorflow_serving.config import model_server_config_pb2

from cctv_serving.status import ServingError, invalid

Config: TypeAlias = model_server_config_pb2.ModelServerConfig
Models = Mapping[str, model_server_config_pb2.ModelConfig]

_PLATFORM = "tensorflow"


def single(name: str, base_path: Path) -> Config:
    """What --model_name and --model_base_path say."""
    config = Config()
    config.model_config_list.config.add(name=name, base_path=str(base_path.absolute()), model_platform=_PLATFORM)
    return config


def models(config: Config) -> Models:
    """The models of ``config`` by name; raises ServingError when TensorFlow Serving would refuse them."""
    if config.WhichOneof("config") == "custom_model_config":
        raise invalid("custom_model_config is not supported. Only ModelConfigList is currently supported")
    found: dict[str, model_server_config_pb2.ModelConfig] = {}
    for model in config.model_config_list.config:
        if model.name in found:
            raise invalid(f"Illegal to list model {model.name} multiple times in config list")
        if not Path(model.base_path).is_absolute():
            raise invalid(
                f"Expected model {model.name} to have an absolute path or URI; got base_path()={model.base_path}"
            )
        _check_platform(model)
        found[model.name] = model
    return found


def _check_platform(model: model_server_config_pb2.ModelConfig) -> None:
    platform = model.model_platform
    if model.model_type != model_server_config_pb2.MODEL_TYPE_UNSPECIFIED:
        if platform:
            raise invalid(
                "Illegal setting both ModelServerConfig::model_type (deprecated) and "
                f"ModelServerConfig::model_platform, model name is {model.name}"
            )
        if model.model_type != model_server_config_pb2.TENSORFLOW:
            raise invalid(f"ModelServerConfig::model_type choice {model.model_type} not supported.")
        platform = _PLATFORM
    if not platform:
        raise invalid(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            f"ModelServerConfig::model_platform, model name is {model.name}"
        )
    if platform != _PLATFORM:
        raise invalid(f"Model {model.name} requests unsupported platform {platform}")


def not_reloadable() -> ServingError:
    """The answer to a request for another kind of configuration than a list of models."""
    return ServingError(
        grpc.StatusCode.INVALID_ARGUMENT,
        "ServerModelConfig type not supported by HandleReloadConfigRequest."
        " Only ModelConfigList is currently supported",
    )
