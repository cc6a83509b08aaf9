"""What both protocols answer alike: the metadata of a model, and a new configuration."""

from __future__ import annotations

from cctv_common.log import Log
from tensorflow_serving.apis import get_model_metadata_pb2, model_management_pb2

from cctv_serving import config
from cctv_serving.manager import Manager
from cctv_serving.model import Model
from cctv_serving.monitoring import Monitoring
from cctv_serving.status import ServingError, invalid


def model_metadata(
    manager: Manager[Model], request: get_model_metadata_pb2.GetModelMetadataRequest
) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """The signatures, the one kind of metadata that there is."""
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    if not request.metadata_field:
        raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
    for field in request.metadata_field:
        if field != "signature_def":
            raise invalid("Metadata field ", field, " is not supported")
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    with manager.use(request.model_spec) as model:
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in model.signatures.items():
            signatures.signature_def[name].CopyFrom(signature)
        response.model_spec.name = model.name
        response.model_spec.version.value = model.version
        response.metadata["signature_def"].Pack(signatures)
    return response


def reload_config(
    manager: Manager[Model], monitoring: Monitoring, request: model_management_pb2.ReloadConfigRequest, log: Log
) -> model_management_pb2.ReloadConfigResponse:
    """Serve the models of a new configuration; answers when those that are new are there, or raises ServingError."""
    if request.config.WhichOneof("config") != "model_config_list":
        raise config.not_reloadable()
    before = {name: monitoring.value(name) for name in request.metric_names}
    try:
        manager.configure(request.config)
    except ServingError as error:
        log.error("ReloadConfig failed", error=error.message)
        raise
    log.info("configured anew", models=manager.names())
    response = model_management_pb2.ReloadConfigResponse()
    response.status.error_code = 0
    for name, value in before.items():
        response.metric.add(name=name, int64_value_increase=monitoring.value(name) - value)
    return response
