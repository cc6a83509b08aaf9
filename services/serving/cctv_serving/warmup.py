"""Runs requests before a model is served, so that the first real one is not slow."""

from __future__ import annotations

import time

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tensorflow_serving.apis import prediction_log_pb2

from cctv_serving import inference, tensors
from cctv_serving.model import Call, Model
from cctv_serving.monitoring import Monitoring
from cctv_serving.status import ServingError, invalid, unimplemented

FILE = ("assets.extra", "tf_serving_warmup_requests")
MAX_RECORDS = 1000


def run(model: Model, iterations: int, check_method_name: bool, monitoring: Monitoring) -> int:
    """Run the requests that come with the model or, without any, made-up ones; returns how many ran.

    Raises ServingError when one of the model's own fails.
    """
    path = model.folder.joinpath(*FILE)
    if not path.is_file():
        return _run_blindly(model)
    began = time.monotonic()
    status = grpc.StatusCode.OK
    count = 0
    try:
        for record in tf.compat.v1.io.tf_record_iterator(str(path)):
            if count == MAX_RECORDS:
                raise invalid(f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {path}")
            for __ in range(iterations):
                _replay(model, record, check_method_name)
            count += 1
            monitoring.warm_up_records.labels(str(model.folder), "OK").inc()
    except tf.errors.OpError as error:
        status = grpc.StatusCode.DATA_LOSS
        raise ServingError(status, f"{path}: {error.message}") from None
    except ServingError as error:
        status = error.code
        raise
    finally:
        latency = (time.monotonic() - began) * 1e6
        monitoring.warm_up_latency.labels(str(model.folder), status.name).observe(latency)
    return count


def _replay(model: Model, record: bytes, check_method_name: bool) -> None:
    try:
        log = prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError:
        raise invalid(f"Failed to parse warmup record of {len(record)} bytes") from None

    def run(call: Call) -> list[inference.Array]:
        return model.session.run(call.feeds, call.fetches)

    match kind := log.WhichOneof("log_type"):
        case "predict_log":
            run(model.predict(log.predict_log.request).call)
        case "classify_log":
            inference.infer(model, inference.CLASSIFICATION, log.classify_log.request, check_method_name, run)
        case "regress_log":
            inference.infer(model, inference.REGRESSION, log.regress_log.request, check_method_name, run)
        case "multi_inference_log":
            inference.multi_inference(model, log.multi_inference_log.request, check_method_name, run)
        case None:
            pass
        case _:
            raise unimplemented("Unsupported log_type for warmup: ", kind)


def _run_blindly(model: Model) -> int:
    """Feed an image to signatures that want bytes, zeros to others; what does not suit them does no harm."""
    image = tf.io.encode_jpeg(tf.zeros([224, 224, 3], tf.uint8)).numpy()
    count = 0
    for name, signature in model.signatures.items():
        inputs = {}
        for alias, info in signature.inputs.items():
            dtype = tensors.numpy_name(info.dtype)
            shape = [dim.size if dim.size >= 0 else 1 for dim in info.tensor_shape.dim]
            if dtype and np.prod(shape) <= 2**24:
                inputs[alias] = np.full(shape, image, object) if dtype == "object" else np.zeros(shape, dtype)
        try:
            call = model.prepare(name, inputs).call
            model.session.run(call.feeds, call.fetches)
            count += 1
        except ServingError:
            continue
    return count
