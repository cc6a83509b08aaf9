"""What both protocols answer alike: status and metadata of the model."""

from __future__ import annotations

import grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    regression_pb2,
)

from cctv_serving.model import Model, asked_version
from cctv_serving.status import ServingError, invalid

_AVAILABLE = get_model_status_pb2.ModelVersionStatus.AVAILABLE
_METHODS = {"classify": "classification", "regress": "regression"}


def model_status(model: Model, spec: model_pb2.ModelSpec) -> get_model_status_pb2.GetModelStatusResponse:
    """The state of the version that is served: a server that answers has loaded it."""
    version = asked_version(spec)
    if version is not None and (spec.name, version) != (model.name, model.version):
        raise ServingError(grpc.StatusCode.NOT_FOUND, f"Could not find version {version} of model {spec.name}")
    if spec.name != model.name:
        raise ServingError(grpc.StatusCode.NOT_FOUND, f"Could not find any versions of model {spec.name}")
    response = get_model_status_pb2.GetModelStatusResponse()
    status = response.model_version_status.add(version=model.version, state=_AVAILABLE)
    status.status.error_message = ""
    return response


def model_metadata(
    model: Model, request: get_model_metadata_pb2.GetModelMetadataRequest
) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """The signatures, the one kind of metadata that there is."""
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    if not request.metadata_field:
        raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
    for field in request.metadata_field:
        if field != "signature_def":
            raise invalid("Metadata field ", field, " is not supported")
    model.resolve(request.model_spec)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for name, signature in model.signatures.items():
        signatures.signature_def[name].CopyFrom(signature)
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = model.name
    response.model_spec.version.value = model.version
    response.metadata["signature_def"].Pack(signatures)
    return response


def refuse(
    model: Model, method: str, request: classification_pb2.ClassificationRequest | regression_pb2.RegressionRequest
) -> ServingError:
    """Why ``classify`` or ``regress`` is not done: mostly because the model has no such signature."""
    if not request.HasField("model_spec"):
        return invalid("Missing ModelSpec")
    try:
        model.resolve(request.model_spec)
    except ServingError as error:
        return error
    name = request.model_spec.signature_name or "serving_default"
    if name not in model.signatures:
        return invalid("No signature was found with the name: ", name)
    is_called, expected = model.signatures[name].method_name, f"tensorflow/serving/{method}"
    if is_called != expected:
        return invalid(f"Expected {_METHODS[method]} signature method_name to be {expected}. Was: {is_called}")
    return ServingError(grpc.StatusCode.UNIMPLEMENTED, f"This server does not {method}; use Predict")
