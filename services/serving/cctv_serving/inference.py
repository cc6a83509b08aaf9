"""Classify, Regress and MultiInference: signatures that take tf.Examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    input_pb2,
    model_pb2,
    regression_pb2,
)

from cctv_serving import tensors
from cctv_serving.model import DEFAULT_SIGNATURE, Call, Model
from cctv_serving.status import invalid, unimplemented

Array = npt.NDArray[Any]
Signature: TypeAlias = meta_graph_pb2.SignatureDef
Run = Callable[[Call], list[Array]]

CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"


@dataclass(frozen=True)
class Task:
    """A signature, and what of it is fed and fetched."""

    kind: Kind
    signature: Signature
    feed: str
    fetches: tuple[str, ...]


def infer(model: Model, kind: Kind, request: Any, check_method_name: bool, run: Run) -> Any:
    """Answer a request of this kind; ``run`` runs the model."""
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    if name not in model.signatures:
        raise invalid("No signature was found with the name: ", name)
    task = _check(model.signatures[name], kind, check_method_name)
    examples = serialized(request.input)
    response = kind.response()
    _say_spec(model, request.model_spec, response.model_spec)
    values = run(Call({task.feed: examples}, task.fetches))
    kind.fill(task, len(examples), dict(zip(task.fetches, values, strict=True)), response.result)
    return response


def multi_inference(
    model: Model, request: inference_pb2.MultiInferenceRequest, check_method_name: bool, run: Run
) -> inference_pb2.MultiInferenceResponse:
    """Answer several tasks about the same examples by one run of the model."""
    tasks: list[Task] = []
    seen: set[str] = set()
    for asked in request.tasks:
        if not asked.model_spec.name:
            raise invalid("Found ModelSpec with an empty model name.")
        if asked.model_spec.name != request.tasks[0].model_spec.name:
            raise invalid("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        name = asked.model_spec.signature_name or DEFAULT_SIGNATURE
        if name in seen:
            raise invalid("Duplicate evaluation of signature: ", name)
        seen.add(name)
        if name not in model.signatures:
            raise invalid("Requested signature not found in model graph: ", name)
        if asked.method_name not in _KINDS:
            raise unimplemented("Unsupported signature method_name: ", asked.method_name)
        tasks.append(_check(model.signatures[name], _KINDS[asked.method_name], check_method_name))
    examples = serialized(request.input)
    fetches = tuple(sorted({fetch for task in tasks for fetch in task.fetches}))
    values = dict(zip(fetches, run(Call({task.feed: examples for task in tasks}, fetches)), strict=True))
    response = inference_pb2.MultiInferenceResponse()
    for asked, task in zip(request.tasks, tasks, strict=True):
        result = response.results.add()
        _say_spec(model, asked.model_spec, result.model_spec)
        filled = result.classification_result if task.kind is CLASSIFICATION else result.regression_result
        task.kind.fill(task, len(examples), values, filled)
    return response


def serialized(said: input_pb2.Input) -> Array:
    """The examples as the model's input takes them, each merged with the context that they have in common."""
    context = b""
    examples: Sequence[Any] = said.example_list.examples
    if said.WhichOneof("kind") == "example_list_with_context":
        context = said.example_list_with_context.context.SerializeToString()
        examples = said.example_list_with_context.examples
    if not examples:
        raise invalid("Input is empty.")
    array = np.empty(len(examples), object)
    array[:] = [context + example.SerializeToString() for example in examples]
    return array


def _check(signature: Signature, kind: Kind, check_method_name: bool) -> Task:
    if check_method_name and signature.method_name != kind.method:
        raise invalid(f"Expected {kind.name} signature method_name to be {kind.method}. Was: {signature.method_name}")
    classifies = kind is CLASSIFICATION
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if classifies and len(signature.outputs) not in (1, 2):
        raise invalid("Expected one or two output Tensors, found ", len(signature.outputs))
    if not classifies and len(signature.outputs) != 1:
        raise invalid("Expected one output Tensor.")
    if "inputs" not in signature.inputs:
        raise invalid(f"No {kind.name} inputs found in SignatureDef: {signature}")
    outputs = [name for name in (("classes", "scores") if classifies else ("outputs",)) if name in signature.outputs]
    if not outputs and classifies:
        raise invalid(
            'Expected classification signature outputs to contain at least one of "classes" or "scores". '
            f"Signature was: {signature}"
        )
    if not outputs:
        raise invalid(f"No regression outputs found in SignatureDef: {signature}")
    return Task(
        kind, signature, signature.inputs["inputs"].name, tuple(signature.outputs[name].name for name in outputs)
    )


def _say_spec(model: Model, asked: model_pb2.ModelSpec, said: model_pb2.ModelSpec) -> None:
    said.name = asked.name
    said.version.value = model.version
    said.signature_name = asked.signature_name or DEFAULT_SIGNATURE


def _fill_classes(
    task: Task, count: int, values: dict[str, Array], result: classification_pb2.ClassificationResult
) -> None:
    found = {name: values[info.name] for name, info in task.signature.outputs.items() if info.name in values}
    for name, dtype, said in (("classes", "object", "DT_STRING"), ("scores", "float32", "DT_FLOAT")):
        array = found.get(name)
        if array is None:
            continue
        if array.ndim != 2:
            raise invalid("Expected Tensor shape: [batch_size num_classes] but got ", _shape(array))
        if array.dtype.name != dtype:
            raise invalid(f"Expected {name} Tensor of {said}. Got: {tensors.data_type_name(array)}")
        if len(array) != count:
            raise invalid(f"Expected {name} output batch size of {count}. Got: {len(array)}")
    classes, scores = found.get("classes"), found.get("scores")
    if classes is not None and scores is not None and classes.shape[1] != scores.shape[1]:
        raise invalid(
            f"Tensors class and score should match in dim_size(1). Got {classes.shape[1]} vs. {scores.shape[1]}"
        )
    width = next(array.shape[1] for array in (classes, scores) if array is not None)
    for row in range(count):
        classification = result.classifications.add()
        for column in range(width):
            each = classification.classes.add()
            if classes is not None:
                each.label = classes[row, column].decode("utf-8", "replace")
            if scores is not None:
                each.score = scores[row, column]


def _fill_values(task: Task, count: int, values: dict[str, Array], result: regression_pb2.RegressionResult) -> None:
    array = values[task.signature.outputs["outputs"].name]
    if not (array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)):
        raise invalid(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got ", _shape(array)
        )
    if len(array) != count:
        raise invalid(f"Input batch size did not match output batch size: {count} vs. {len(array)}")
    if array.dtype.name != "float32":
        raise invalid("Expected output Tensor of DT_FLOAT.  Got: ", tensors.data_type_name(array))
    for value in array.ravel().tolist():
        result.regressions.add().value = value


def _shape(array: Array) -> str:
    return f"[{','.join(map(str, array.shape))}]"


@dataclass(frozen=True)
class Kind:
    """What may be asked of tf.Examples: the RPC, its messages, and how the model's values become its answer."""

    rpc: str
    name: str
    method: str
    request: Any
    response: Any
    fill: Callable[[Task, int, dict[str, Array], Any], None]


CLASSIFICATION = Kind(
    "Classify",
    "classification",
    CLASSIFY,
    classification_pb2.ClassificationRequest,
    classification_pb2.ClassificationResponse,
    _fill_classes,
)
REGRESSION = Kind(
    "Regress", "regression", REGRESS, regression_pb2.RegressionRequest, regression_pb2.RegressionResponse, _fill_values
)
_KINDS = {kind.method: kind for kind in (CLASSIFICATION, REGRESSION)}
