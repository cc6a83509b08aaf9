from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import orjson
import pytest
from cctv_serving import json_tensor
from cctv_serving.status import ServingError

IMAGE = {"image_bytes": "object"}


def parse(document: Any, inputs: dict[str, str]) -> json_tensor.PredictBody:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return json_tensor.parse_predict(body, lambda _: inputs)


def b64(content: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(content).decode()}


class TestRows:
    def test_a_list_of_bytes_is_a_batch(self) -> None:
        said = parse({"instances": [b64(b"\xff\xd8\0"), b64(b"")]}, IMAGE)
        assert said.format == "row"
        assert said.inputs["image_bytes"].tolist() == [b"\xff\xd8\0", b""]

    def test_objects_name_the_tensors(self) -> None:
        said = parse(
            {"instances": [{"tag": "a", "x": [1, 2.5]}, {"tag": "b", "x": [3, 4]}]}, {"tag": "object", "x": "float32"}
        )
        assert said.inputs["tag"].tolist() == [b"a", b"b"]
        assert said.inputs["x"].tolist() == [[1, 2.5], [3, 4]]
        assert said.inputs["x"].dtype == np.float32

    def test_scalars_and_nested_lists(self) -> None:
        assert parse({"instances": [1, 2, 3]}, {"x": "int64"}).inputs["x"].tolist() == [1, 2, 3]
        assert parse({"instances": [[[1], [2]], [[3], [4]]]}, {"x": "float64"}).inputs["x"].shape == (2, 2, 1)
        assert parse({"instances": [True, False]}, {"x": "bool"}).inputs["x"].tolist() == [True, False]

    def test_one_named_tensor_may_be_named_too(self) -> None:
        assert parse({"instances": [{"image_bytes": b64(b"x")}]}, IMAGE).inputs["image_bytes"].tolist() == [b"x"]

    def test_the_signature_is_passed_on(self) -> None:
        asked = []

        def inputs_of(name: str) -> dict[str, str]:
            asked.append(name)
            return IMAGE

        said = json_tensor.parse_predict(b'{"signature_name": "other", "instances": ["x"]}', inputs_of)
        assert (said.signature_name, asked) == ("other", ["other"])


class TestColumns:
    def test_a_value_is_the_only_tensor(self) -> None:
        said = parse({"inputs": [[1, 2], [3, 4]]}, {"x": "int32"})
        assert said.format == "column"
        assert said.inputs["x"].tolist() == [[1, 2], [3, 4]]
        assert said.inputs["x"].dtype == np.int32

    def test_an_object_names_tensors_of_any_shape(self) -> None:
        said = parse({"inputs": {"x": [[1.5], [2]], "k": 3}}, {"x": "float32", "k": "int64"})
        assert said.inputs["x"].shape == (2, 1)
        assert said.inputs["k"].shape == ()

    def test_base64_is_a_value_and_no_object_of_tensors(self) -> None:
        assert parse({"inputs": b64(b"abc")}, IMAGE).inputs["image_bytes"][()] == b"abc"
        assert parse({"inputs": {"image_bytes": [b64(b"abc")]}}, IMAGE).inputs["image_bytes"].tolist() == [b"abc"]


class TestLikeTheRealParser:
    def test_what_follows_the_object_is_not_looked_at(self) -> None:
        assert parse(b' \n{"instances": ["a"]} and more', IMAGE).inputs["image_bytes"].tolist() == [b"a"]

    def test_a_byte_order_mark_is_skipped(self) -> None:
        assert parse(b'\xef\xbb\xbf{"instances": ["a"]}', IMAGE).inputs["image_bytes"].tolist() == [b"a"]

    def test_bytes_that_are_no_utf8_arrive_as_they_are(self) -> None:
        assert parse(b'{"instances": ["\xff\xd8"]}', IMAGE).inputs["image_bytes"].tolist() == [b"\xff\xd8"]

    def test_base64_without_padding_or_with_white_space(self) -> None:
        said = parse({"instances": [{"b64": "YQ"}, {"b64": " Y Q =\n="}]}, IMAGE)
        assert said.inputs["image_bytes"].tolist() == [b"a", b"a"]

    def test_nan_and_infinity_are_numbers(self) -> None:
        got = parse(b'{"instances": [NaN, -Infinity, 1e30]}', {"x": "float32"}).inputs["x"]
        assert np.isnan(got[0])
        assert got[1:].tolist() == [-np.inf, np.float32(1e30)]

    def test_small_integers_are_narrowed(self) -> None:
        assert parse({"instances": [300]}, {"x": "uint8"}).inputs["x"].tolist() == [44]


@pytest.mark.parametrize(
    ("document", "inputs", "message"),
    [
        (b"", IMAGE, "JSON Parse error: The document is empty"),
        (b"  \n ", IMAGE, "JSON Parse error: The document is empty"),
        (b"nonsense", IMAGE, "JSON Parse error: Invalid value. at offset: 0"),
        (b"\xff\xfe{", IMAGE, "JSON Parse error: Invalid value. at offset: 0"),
        (b'{"instances": [', IMAGE, "JSON Parse error: Invalid value. at offset: 15"),
        (b'{"\xc3\xa9": tru}', IMAGE, "JSON Parse error: Invalid value. at offset: 7"),
        (b"{1: 2}", IMAGE, "JSON Parse error: Missing a name for object member. at offset: 1"),
        (b'{"a" 1}', IMAGE, "JSON Parse error: Missing a colon after a name of object member. at offset: 5"),
        (b'{"instances": ["\\ud800"]}', IMAGE, "The surrogate pair in string is invalid."),
        (
            b'{"instances": ' + b"[" * 5000 + b"]" * 5000 + b"}",
            {"x": "float32"},
            "JSON Parse error: Nested too deeply.",
        ),
        ({"instances": json.loads("[" * 80 + "]" * 80)}, {"x": "float32"}, "Encountered list at unexpected level: 65"),
        (b'{"instances": [1e999]}', {"x": "float32"}, "JSON Parse error: Number too big to be stored in double."),
        (
            b'{"instances": [' + b"9" * 6000 + b"]}",
            {"x": "float32"},
            "JSON Parse error: Number too big to be stored in double.",
        ),
        (
            b'{"instances": [' + b"9" * 400 + b"]}",
            {"x": "float32"},
            "JSON Parse error: Number too big to be stored in double.",
        ),
        ([1, 2], IMAGE, "JSON Value: [1, 2] Is not object"),
        ({}, IMAGE, "Missing 'inputs' or 'instances' key"),
        ({"instances": ["a"]}, {}, "Failed to get input map for signature: DEFAULT"),
        (
            {"signature_name": 5, "instances": []},
            IMAGE,
            "not formatted correctly. 'signature_name' key must be a string value.",
        ),
        ({"inputs": 1, "instances": [1]}, IMAGE, "expecting only one of 'inputs' or 'instances' keys to exist"),
        ({"instances": {}}, IMAGE, "Expecting 'instances' to be an list/array"),
        ({"instances": []}, IMAGE, "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array"),
        (
            {"instances": [1]},
            {"x": "float32", "y": "float32"},
            "instances is a plain list, but expecting list of objects as multiple input tensors",
        ),
        ({"inputs": [1]}, {"x": "float32", "y": "float32"}, "inputs is a plain value/list, but expecting an object"),
        ({"inputs": {"x": 1}}, {"x": "float32", "y": "float32"}, "Missing named input: y in 'inputs' object."),
        (
            {"instances": [{"z": 1}]},
            {"x": "float32"},
            "Failed to process element: 0 key: z of 'instances' list. Error: INVALID_ARGUMENT: "
            "JSON object: does not have named input: z",
        ),
        (
            {"instances": [{"x": 1}]},
            {"x": "float32", "y": "float32"},
            "Failed to process element: 0 of 'instances' list. JSON object: {\n    \"x\": 1\n} "
            "keys must be equal to: x,y",
        ),
        ({"instances": [{"x": 1}, 2]}, {"x": "float32"}, "Expecting object but got list at item 1 of input list"),
        ({"instances": [1, {"x": 2}]}, {"x": "float32"}, "Expecting value/list but got object at item 1"),
        ({"instances": [[1], [1, 2]]}, {"x": "float32"}, "Expecting tensor size: 1 but got: 2"),
        ({"instances": [[[1, 2]], [[1], [2]]]}, {"x": "float32"}, "Expecting shape [1,2] but got: [2,1]"),
        ({"instances": [[1, [2]]]}, {"x": "float32"}, "Encountered list at unexpected level: 1 expected < 1"),
        ({"inputs": [[1], 2]}, {"x": "float32"}, "JSON Value: 2 found at incorrect level: 2 in the JSON DOM."),
        ({"inputs": [[1, 2], [3]]}, {"x": "float32"}, "unexpected size: 1 at level: 1 expected size: 2"),
        ({"inputs": "a"}, {"x": "float32"}, 'JSON Value: "a" Type: String is not of expected type: float'),
        ({"inputs": [1, True]}, {"x": "float32"}, "JSON Value: true Type: True is not of expected type: float"),
        ({"inputs": [None]}, {"x": "int32"}, "JSON Value: null Type: Null is not of expected type: int32"),
        ({"inputs": [1.5]}, {"x": "int64"}, "JSON Value: 1.5 Type: Number is not of expected type: int64"),
        ({"inputs": [2**31]}, {"x": "int32"}, "is not of expected type: int32"),
        ({"inputs": [-1]}, {"x": "uint64"}, "is not of expected type: uint64"),
        ({"inputs": [1]}, IMAGE, "JSON Value: 1 Type: Number is not of expected type: string"),
        ({"inputs": [1]}, {"x": "bool"}, "is not of expected type: bool"),
        ({"inputs": [1]}, {"x": "complex64"}, "Conversion of JSON Value: 1 to type: complex64"),
        ({"inputs": [{"b64": "*"}]}, IMAGE, "Unable to base64 decode"),
        ({"inputs": [{"b64": 5}]}, IMAGE, "not formatted correctly for base64 data"),
        ({"inputs": [{"b64": "YQ=="}]}, {"x": "float32"}, "Type: Object is not of expected type: float"),
    ],
)
def test_wrong_bodies_are_told_as_tensorflow_serving_does(document: Any, inputs: dict[str, str], message: str) -> None:
    with pytest.raises(ServingError) as told:
        parse(document, inputs)
    assert message in told.value.message
    assert len(told.value.message) < 2000


def test_a_message_quotes_only_the_beginning_of_a_large_value() -> None:
    with pytest.raises(ServingError) as told:
        parse({"instances": "x" * 10**6}, IMAGE)
    assert len(told.value.message) < 400


OUTPUTS = {"classes": np.array([7, 9]), "probabilities": np.array([[0.2, 1], [0.5, 3e-5]], np.float32)}


class TestAnswers:
    def test_rows_of_several_tensors_are_objects(self) -> None:
        body = json_tensor.format_predict(OUTPUTS, "row")
        assert json.loads(body)["predictions"] == [
            {"classes": 7, "probabilities": [0.2, 1.0]},
            {"classes": 9, "probabilities": [0.5, 3e-5]},
        ]

    def test_floats_have_the_digits_of_a_float_and_not_of_a_double(self) -> None:
        assert b"[0.2,1.0]" in json_tensor.format_predict(OUTPUTS, "row")

    def test_rows_of_one_tensor_are_its_values(self) -> None:
        assert json.loads(json_tensor.format_predict({"a": np.array([[1], [2]])}, "row")) == {"predictions": [[1], [2]]}

    def test_columns(self) -> None:
        assert json.loads(json_tensor.format_predict(OUTPUTS, "column"))["outputs"]["classes"] == [7, 9]
        assert json.loads(json_tensor.format_predict({"a": np.array(3)}, "column")) == {"outputs": 3}

    def test_strings_are_text_and_bytes_are_base64(self) -> None:
        outputs = {
            "name": np.array([b"\xc3\xa9", b"\xff"], object),
            "raw_bytes": np.array([b"\xff", b""], object),
        }
        assert orjson.loads(json_tensor.format_predict(outputs, "row"))["predictions"] == [
            {"name": "é", "raw_bytes": {"b64": "/w=="}},
            {"name": "�", "raw_bytes": {"b64": ""}},
        ]

    def test_nan_and_infinity_are_written_as_tensorflow_serving_does(self) -> None:
        body = json_tensor.format_predict({"a": np.array([np.nan, np.inf, 0.5], np.float32)}, "row")
        assert body.replace(b" ", b"") == b'{"predictions":[NaN,Infinity,0.5]}'
        both = {"a": np.array([np.nan, 1], np.float32), "b": np.array([1, 2])}
        assert b'"a": NaN, "b": 1' in json_tensor.format_predict(both, "row")

    @pytest.mark.parametrize(
        ("outputs", "message"),
        [
            ({}, "Cannot convert empty tensor map to JSON"),
            ({"a": np.array(1)}, "Tensor name: a has no shape information"),
            ({"a": np.array([1]), "b": np.array([1, 2])}, "b has inconsistent batch size: 2 expecting: 1"),
            ({"a": np.array([1j])}, "Failed to write JSON value for tensor type: complex128"),
            ({"a": np.array([1], np.float16)}, "Failed to write JSON value for tensor type: half"),
        ],
    )
    def test_what_does_not_go_into_rows(self, outputs: dict[str, Any], message: str) -> None:
        with pytest.raises(ServingError) as told:
            json_tensor.format_predict(outputs, "row")
        assert message in told.value.message
