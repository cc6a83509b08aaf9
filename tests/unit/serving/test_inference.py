from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from cctv_serving import inference, json_examples
from cctv_serving.flags import Threads
from cctv_serving.model import Call, Model
from cctv_serving.session import TensorFlowSession
from cctv_serving.status import ServingError
from cctv_serving.versions import Version
from tensorflow.core.example import example_pb2
from tensorflow_serving.apis import classification_pb2, inference_pb2, input_pb2, regression_pb2


@pytest.fixture(scope="module")
def model(half_plus_two: Path) -> Iterator[Model]:
    model = Model("half", Version(3, half_plus_two), TensorFlowSession(half_plus_two, Threads(1, 1)))
    yield model
    model.close()


def examples(*values: float, context: float | None = None) -> input_pb2.Input:
    said = input_pb2.Input()
    made = said.example_list.examples if context is None else said.example_list_with_context.examples
    if context is not None:
        said.example_list_with_context.context.features.feature["x"].float_list.value.append(context)
    for value in values:
        made.add().features.feature["x"].float_list.value.append(value)
    return said


def run(model: Model) -> inference.Run:
    return lambda call: model.session.run(call.feeds, call.fetches)


def regress(
    model: Model, signature: str, said: input_pb2.Input, check: bool = False
) -> regression_pb2.RegressionResponse:
    request = regression_pb2.RegressionRequest(input=said)
    request.model_spec.name = "half"
    request.model_spec.signature_name = signature
    return inference.infer(model, inference.REGRESSION, request, check, run(model))


def classify(
    model: Model, signature: str, said: input_pb2.Input, check: bool = False
) -> classification_pb2.ClassificationResponse:
    request = classification_pb2.ClassificationRequest(input=said)
    request.model_spec.name = "half"
    request.model_spec.signature_name = signature
    return inference.infer(model, inference.CLASSIFICATION, request, check, run(model))


def message(call: Any, *arguments: Any) -> str:
    with pytest.raises(ServingError) as told:
        call(*arguments)
    assert told.value.code is grpc.StatusCode.INVALID_ARGUMENT
    return told.value.message


class TestRegress:
    def test_values(self, model: Model) -> None:
        said = regress(model, "regress_x_to_y", examples(1, 4), True)
        assert [one.value for one in said.result.regressions] == [2.5, 4]
        spec = said.model_spec
        assert (spec.name, spec.version.value, spec.signature_name) == ("half", 3, "regress_x_to_y")

    def test_a_context_is_part_of_each_example(self, model: Model) -> None:
        said = input_pb2.Input()
        said.example_list_with_context.context.features.feature["x"].float_list.value.append(10)
        for __ in range(2):
            said.example_list_with_context.examples.add()
        assert [one.value for one in regress(model, "regress_x_to_y", said).result.regressions] == [7, 7]

    def test_what_it_refuses(self, model: Model) -> None:
        assert message(regress, model, "nope", examples(1)) == "No signature was found with the name: nope"
        assert message(regress, model, "regress_x_to_y", input_pb2.Input()) == "Input is empty."
        assert message(regress, model, "", examples(1)).startswith("No regression inputs found in SignatureDef: ")
        assert message(regress, model, "", examples(1), True) == (
            "Expected regression signature method_name to be tensorflow/serving/regress. "
            "Was: tensorflow/serving/predict"
        )
        assert message(regress, model, "classify_x_to_y", examples(1)) == "Expected one output Tensor."

    def test_an_example_that_is_none_is_told_though_it_is_no_text(self, model: Model) -> None:
        call = Call({"tf_example:0": np.array([b"\xff\xd8"], object)}, ("y:0",))
        assert "Could not parse example input" in message(run(model), call)


class TestClassify:
    def test_labels_and_scores(self, model: Model) -> None:
        said = classify(model, "classify_x_to_y", examples(1, 4), True)
        found = [[(one.label, one.score) for one in each.classes] for each in said.result.classifications]
        assert found == [[("2.500000", 2.5)], [("4.000000", 4.0)]]

    def test_scores_without_labels(self, model: Model) -> None:
        (only,) = classify(model, "scores_only", examples(1)).result.classifications
        assert [(one.label, one.score) for one in only.classes] == [("", 2.5)]

    def test_what_it_refuses(self, model: Model) -> None:
        assert message(classify, model, "", examples(1)).startswith("No classification inputs found in SignatureDef: ")
        assert message(classify, model, "regress_x_to_y", examples(1)).startswith(
            'Expected classification signature outputs to contain at least one of "classes" or "scores". '
        )


class TestMultiInference:
    def test_several_answers_from_one_run(self, model: Model) -> None:
        request = inference_pb2.MultiInferenceRequest(input=examples(1, 4))
        for signature, method in (("regress_x_to_y", inference.REGRESS), ("classify_x_to_y", inference.CLASSIFY)):
            task = request.tasks.add(method_name=method)
            task.model_spec.name = "half"
            task.model_spec.signature_name = signature
        calls: list[Call] = []

        def counted(call: Call) -> list[np.ndarray]:
            calls.append(call)
            return model.session.run(call.feeds, call.fetches)

        regressed, classified = inference.multi_inference(model, request, True, counted).results
        assert [one.value for one in regressed.regression_result.regressions] == [2.5, 4]
        assert classified.classification_result.classifications[1].classes[0].label == "4.000000"
        assert classified.model_spec.signature_name == "classify_x_to_y"
        assert len(calls) == 1

    @pytest.mark.parametrize(
        ("tasks", "said"),
        [
            ([("", "", "x")], "Found ModelSpec with an empty model name."),
            (
                [("half", "scores_only", inference.CLASSIFY), ("other", "", inference.CLASSIFY)],
                "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
            ),
            ([("half", "scores_only", inference.CLASSIFY)] * 2, "Duplicate evaluation of signature: scores_only"),
            ([("half", "nope", inference.CLASSIFY)], "Requested signature not found in model graph: nope"),
            ([("half", "", "tensorflow/serving/predict")], "Unsupported signature method_name: "),
        ],
    )
    def test_what_it_refuses(self, model: Model, tasks: list[tuple[str, str, str]], said: str) -> None:
        request = inference_pb2.MultiInferenceRequest(input=examples(1))
        for name, signature, method in tasks:
            task = request.tasks.add(method_name=method)
            task.model_spec.name = name
            task.model_spec.signature_name = signature
        with pytest.raises(ServingError, match=said):
            inference.multi_inference(model, request, False, run(model))


class TestJson:
    def test_the_documented_form(self) -> None:
        body = {
            "signature_name": "regress_x_to_y",
            "context": {"name": "é", "flag": True},
            "examples": [{"x": 1.5, "n": [1, 2], "raw": {"b64": "YQA="}}, {"x": [2.5]}],
        }
        signature, said = json_examples.parse(json.dumps(body).encode())
        assert signature == "regress_x_to_y"
        context = said.example_list_with_context.context.features.feature
        assert (context["name"].bytes_list.value[0], context["flag"].int64_list.value[0]) == ("é".encode(), 1)
        first, second = said.example_list_with_context.examples
        assert list(first.features.feature["n"].int64_list.value) == [1, 2]
        assert first.features.feature["raw"].bytes_list.value[0] == b"a\0"
        assert second.features.feature["x"].float_list.value[0] == 2.5

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ({}, "When method is classify, key 'examples' is expected and was not found"),
            ({"examples": 1}, "Expecting 'examples' value to be an list/array"),
            ({"examples": []}, "'examples' value is an empty array"),
            ({"examples": [1]}, "Example must be JSON object but got JSON Number"),
            ({"context": [], "examples": [{}]}, "Example must be JSON object but got JSON Array"),
            ({"examples": [{"x": None}]}, "Feature: x has element with unexpected JSON type: Null"),
            ({"examples": [{"x": [[1]]}]}, "Feature: x has element with unexpected JSON type: Array"),
            ({"examples": [{"x": {"y": 1}}]}, "Feature: x has element with unexpected JSON type: Object"),
            ({"examples": [{"x": [1, 1.5]}]}, "Unexpected element type in feature: x expecting type: int64"),
            ({"examples": [{"x": ["a", 1]}]}, "Unexpected element type in feature: x expecting type: bytes"),
            ({"examples": [{"x": 2**63}]}, "Feature: x has uint64_t element. Only int64_t is supported."),
            ({"examples": [{"x": {"b64": "!"}}]}, "Unable to base64 decode"),
            ({"signature_name": 1, "examples": [{}]}, "'signature_name' key must be a string value."),
        ],
    )
    def test_what_it_refuses(self, body: Any, said: str) -> None:
        assert said in message(json_examples.parse, json.dumps(body).encode())

    def test_answers(self, model: Model) -> None:
        values = regress(model, "regress_x_to_y", examples(0.2, 4)).result
        assert json_examples.format_values(values) == b'{"results":[2.1,4.0]}'
        classes = classify(model, "classify_x_to_y", examples(1)).result
        assert json.loads(json_examples.format_classes(classes)) == {"results": [[["2.500000", 2.5]]]}
        odd = regress(model, "regress_x_to_y", examples(float("inf"))).result
        assert json_examples.format_values(odd) == b'{"results": [Infinity]}'
        for format_, empty in (
            (json_examples.format_values, regression_pb2.RegressionResult()),
            (json_examples.format_classes, classification_pb2.ClassificationResult()),
        ):
            assert message(format_, empty).startswith("Cannot convert empty ")


def test_examples_are_joined_with_their_context_byte_by_byte() -> None:
    said = examples(1, context=2)
    (joined,) = inference.serialized(said)
    # As protocol buffers do: of the two, the later one counts.
    assert example_pb2.Example.FromString(joined).features.feature["x"].float_list.value[0] == 1
