"""JSON of classify and regress requests to tf.Examples, and their results to JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import orjson
from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow_serving.apis import classification_pb2, input_pb2, regression_pb2

from cctv_serving import json_tensor
from cctv_serving.json_tensor import debug
from cctv_serving.status import invalid

_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


def parse(body: bytes) -> tuple[str, input_pb2.Input]:
    """Read a request's body: the signature's name ("" = default) and the examples.

    Raises ServingError (INVALID_ARGUMENT) with TensorFlow Serving's message.
    """
    document = json_tensor.parse_object(body)
    signature = json_tensor.signature_name(document)
    said = input_pb2.Input()
    has_context = "context" in document
    if has_context:
        _fill(document["context"], said.example_list_with_context.context)
    if "examples" not in document:
        raise _wrong(document, "When method is classify, key 'examples' is expected and was not found")
    examples = document["examples"]
    if not isinstance(examples, list):
        raise _wrong(document, "Expecting 'examples' value to be an list/array")
    if not examples:
        raise _wrong(document, "'examples' value is an empty array")
    made = said.example_list_with_context.examples if has_context else said.example_list.examples
    for example in examples:
        _fill(example, made.add())
    return signature, said


def format_classes(result: classification_pb2.ClassificationResult) -> bytes:
    """Write the answer's body: for each example its classes, each a label and a score."""
    if not result.classifications:
        raise invalid("Cannot convert empty ClassificationResults to JSON")
    results = [[[one.label, np.float32(one.score)] for one in each.classes] for each in result.classifications]
    return _dump(results, (one.score for each in result.classifications for one in each.classes))


def format_values(result: regression_pb2.RegressionResult) -> bytes:
    """Write the answer's body: a number for each example."""
    if not result.regressions:
        raise invalid("Cannot convert empty RegressionResults to JSON")
    numbers = [np.float32(each.value) for each in result.regressions]
    return _dump(numbers, (each.value for each in result.regressions))


def _wrong(document: dict[str, Any], what: str) -> Exception:
    return invalid("JSON Value: ", debug(document), " ", what)


def _fill(value: Any, example: example_pb2.Example) -> None:
    if not isinstance(value, dict):
        raise invalid("Example must be JSON object but got JSON ", json_tensor.json_type(value))
    for name, content in value.items():
        feature = example.features.feature[name.encode("utf-8", "replace").decode()]
        for item in content if isinstance(content, list) else [content]:
            _add(feature, name, item)


def _add(feature: feature_pb2.Feature, name: str, value: Any) -> None:
    if isinstance(value, bool):
        _list(feature, name, "int64_list").append(int(value))
    elif isinstance(value, int) and value.bit_length() <= 64:
        if not -(2**63) <= value < 2**63:
            raise invalid("Feature: ", name, " has uint64_t element. Only int64_t is supported.")
        _list(feature, name, "int64_list").append(value)
    elif isinstance(value, int | float):
        _list(feature, name, "float_list").append(_float(value))
    elif isinstance(value, str):
        _list(feature, name, "bytes_list").append(value.encode("utf-8", "surrogateescape"))
    elif json_tensor.is_base64(value):
        _list(feature, name, "bytes_list").append(json_tensor.decode_base64(value))
    else:
        raise invalid("Feature: ", name, " has element with unexpected JSON type: ", json_tensor.json_type(value))


def _list(feature: feature_pb2.Feature, name: str, kind: str) -> Any:
    found = feature.WhichOneof("kind")
    if found not in (None, kind):
        raise invalid("Unexpected element type in feature: ", name, " expecting type: ", _KINDS[found])
    return getattr(feature, kind).value


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        raise invalid("JSON Parse error: Number too big to be stored in double.") from None


def _dump(results: list[Any], numbers: Iterable[float]) -> bytes:
    said = {"results": results}
    if all(map(math.isfinite, numbers)):
        return orjson.dumps(said, option=orjson.OPT_SERIALIZE_NUMPY)
    # NaN and infinities, which JSON lacks and TensorFlow Serving writes: as Python's json does too.
    return json.dumps(said, default=float, ensure_ascii=False).encode("utf-8", "replace")
