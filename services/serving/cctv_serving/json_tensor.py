"""JSON of TensorFlow Serving's REST interface to tensors and back, without TensorFlow.

Rules and messages are those of TensorFlow Serving: row format (``instances`` -> ``predictions``, each element one
item of the batch) and column format (``inputs`` -> ``outputs``); ``{"b64": "..."}`` stands for bytes.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import grpc
import numpy as np
import numpy.typing as npt
import orjson

from cctv_serving.status import ServingError, invalid

Array = npt.NDArray[Any]
Inputs = Mapping[str, str]
"""A signature's inputs: name -> NumPy's name of the type, "object" for strings."""

_DEBUG_BYTES = 256
_DEEPEST = 64
"""Nesting that no tensor needs (NumPy's limit on dimensions is the same)."""

_PARSE_ERRORS = {
    "Expecting value": "Invalid value.",
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Illegal trailing comma before end of object": "Missing a name for object member.",
    "Illegal trailing comma before end of array": "Invalid value.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Expecting ',' delimiter": "Missing a comma after a member or element.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Invalid control character at": "Invalid encoding in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
}
_TYPE_NAMES = {"object": "string", "float32": "float", "float64": "double", "float16": "half"}
_INTEGERS = {
    # What the JSON number must fit; TensorFlow Serving narrows to smaller types without a word, as here.
    "int32": (-(2**31), 2**31),
    "int16": (-(2**31), 2**31),
    "int8": (-(2**31), 2**31),
    "uint8": (-(2**31), 2**31),
    "int64": (-(2**63), 2**63),
    "uint32": (0, 2**32),
    "uint64": (0, 2**64),
}
_WRITABLE = frozenset(["float32", "float64", "bool", "object", *_INTEGERS])


@dataclass(frozen=True)
class PredictBody:
    """What a predict request says: the tensors, by input name, and the format that the answer has to have."""

    signature_name: str
    inputs: dict[str, Array]
    format: Literal["row", "column"]


def parse_predict(body: bytes, inputs_of: Callable[[str], Inputs]) -> PredictBody:
    """Read a predict request's body; ``inputs_of`` gives the inputs of a signature by its name ("" = default).

    Raises ServingError (INVALID_ARGUMENT) with TensorFlow Serving's message.
    """
    document = parse_object(body)
    signature = signature_name(document)
    inputs = inputs_of(signature)
    if not inputs:
        raise invalid("Failed to get input map for signature: ", signature or "DEFAULT")
    if "instances" in document:
        if "inputs" in document:
            raise invalid(
                "JSON Value: ",
                debug(document),
                " Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist ",
            )
        instances = document["instances"]
        if not isinstance(instances, list):
            raise invalid("JSON Value: ", debug(document), " Expecting 'instances' to be an list/array")
        if not instances:
            raise invalid("JSON Value: ", debug(document), " No values in 'instances' array")
        return PredictBody(signature, _from_instances(instances, inputs), "row")
    if "inputs" in document:
        return PredictBody(signature, _from_inputs(document["inputs"], inputs), "column")
    raise invalid("Missing 'inputs' or 'instances' key")


def signature_name(document: dict[str, Any]) -> str:
    """The signature that a request names, "" for the default one."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            "JSON Value: ", debug(document), " not formatted correctly. 'signature_name' key must be a string value."
        )
    return name


def parse_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object; what follows it is not looked at, and bytes that are no UTF-8 stay what they are."""
    text = body.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape").lstrip(" \t\r\n")
    if not text:
        raise invalid("JSON Parse error: The document is empty")
    named: list[str] = []

    def constant(name: str) -> float:
        named.append(name)
        return float(name)

    def number(digits: str) -> float:
        value = float(digits)
        if math.isinf(value):
            raise OverflowError
        return value

    try:
        document, __ = json.JSONDecoder(parse_constant=constant, parse_float=number).raw_decode(text)
    except json.JSONDecodeError as error:
        skipped = len(body) - len(text.encode("utf-8", "surrogateescape"))
        offset = skipped + len(text[: error.pos].encode("utf-8", "surrogateescape"))
        raise invalid("JSON Parse error: ", _PARSE_ERRORS.get(error.msg, error.msg), " at offset: ", offset) from None
    except (OverflowError, ValueError):  # a float beyond double's range, or an integer of thousands of digits
        raise invalid("JSON Parse error: Number too big to be stored in double.") from None
    except RecursionError:
        raise invalid("JSON Parse error: Nested too deeply.") from None
    if not isinstance(document, dict):
        raise invalid("JSON Value: ", debug(document), " Is not object")
    return document


def _from_instances(instances: list[Any], inputs: Inputs) -> dict[str, Array]:
    if not isinstance(instances[0], dict) and len(inputs) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple "
            "input tensors required as per tensorinfo_map"
        )
    named = _is_object(instances[0])
    builders: dict[str, _Builder] = {}
    names = sorted(inputs)
    for number, instance in enumerate(instances):
        if named:
            if not _is_object(instance):
                raise invalid("Expecting object but got list at item ", number, " of input list")
            for name, value in instance.items():
                try:
                    _add(builders, inputs, name, value)
                except ServingError as error:
                    raise invalid(
                        f"Failed to process element: {number} key: {name} of 'instances' list. Error: {error}"
                    ) from None
            if sorted(instance) != names:
                raise invalid(
                    f"Failed to process element: {number} of 'instances' list. JSON object: {debug(instance)}"
                    f" keys must be equal to: {','.join(names)}"
                )
        else:
            if _is_object(instance):
                raise invalid("Expecting value/list but got object at item ", number, " of input list")
            try:
                _add(builders, inputs, names[0], instance)
            except ServingError as error:
                raise invalid(f"Failed to process element: {number} of 'instances' list. Error: {error}") from None
    return {name: builder.array(len(instances)) for name, builder in builders.items()}


def _add(builders: dict[str, _Builder], inputs: Inputs, name: str, value: Any) -> None:
    if name not in inputs:
        raise invalid("JSON object: does not have named input: ", name)
    shape = _shape(value)
    builder = builders.get(name)
    if builder is None:
        builders[name] = builder = _Builder(inputs[name], shape)
        builder.fill(value, shape)
        return
    before = len(builder.values)
    builder.fill(value, shape)
    size, expected = len(builder.values) - before, math.prod(builder.shape)
    if size != expected:
        raise invalid("Expecting tensor size: ", expected, " but got: ", size)
    if shape != builder.shape:
        raise invalid("Expecting shape ", _shape_text(builder.shape), " but got: ", _shape_text(shape))


def _from_inputs(value: Any, inputs: Inputs) -> dict[str, Array]:
    if not _is_object(value):
        if len(inputs) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple "
                "input tensors required as per tensorinfo_map"
            )
        value = {next(iter(inputs)): value}
    arrays = {}
    for name, dtype in inputs.items():
        if name not in value:
            raise invalid("Missing named input: ", name, " in 'inputs' object.")
        shape = _shape(value[name])
        builder = _Builder(dtype, shape)
        builder.fill(value[name], shape)
        arrays[name] = builder.array()
    return arrays


class _Builder:
    """Collects the values of one tensor."""

    def __init__(self, dtype: str, shape: tuple[int, ...]) -> None:
        self.dtype = dtype
        self.shape = shape
        self.values: list[Any] = []

    def array(self, batch: int | None = None) -> Array:
        shape = self.shape if batch is None else (batch, *self.shape)
        if self.dtype == "object":
            flat: Array = np.empty(len(self.values), dtype=object)
            flat[:] = self.values
            return flat.reshape(shape)
        if self.dtype in _INTEGERS:
            wide = np.array(self.values, dtype=np.uint64 if self.dtype == "uint64" else np.int64)
            return wide.astype(self.dtype).reshape(shape)
        try:
            doubles = np.array(self.values, dtype=bool if self.dtype == "bool" else np.float64)
        except OverflowError:  # an integer beyond double's range
            raise invalid("JSON Parse error: Number too big to be stored in double.") from None
        with np.errstate(over="ignore"):
            return doubles.astype(self.dtype).reshape(shape)

    def fill(self, value: Any, shape: tuple[int, ...], level: int = 0) -> None:
        rank = len(shape)
        if not isinstance(value, list):
            if level != rank:
                raise invalid(
                    f"JSON Value: {debug(value)} found at incorrect level: {level + 1}"
                    f" in the JSON DOM. Expected at level: {rank}"
                )
            self.values.append(self._scalar(value))
            return
        if level >= rank:
            raise invalid("Encountered list at unexpected level: ", level, " expected < ", rank)
        if len(value) != shape[level]:
            raise invalid(
                "Encountered list at unexpected size: ",
                len(value),
                " at level: ",
                level,
                " expected size: ",
                shape[level],
            )
        if level == rank - 1 and self._plain_numbers(value):
            self.values.extend(value)
        else:
            for item in value:
                self.fill(item, shape, level + 1)

    def _plain_numbers(self, row: list[Any]) -> bool:
        """Whether a whole row can be taken without looking at each number: what makes image tensors bearable."""
        return self.dtype in ("float32", "float64") and {type(item) for item in row} <= {int, float}

    def _scalar(self, value: Any) -> Any:
        if self.dtype == "object":
            if isinstance(value, dict):
                return decode_base64(value)
            if isinstance(value, str):
                try:
                    return value.encode("utf-8", "surrogateescape")
                except UnicodeEncodeError:
                    raise invalid("JSON Parse error: The surrogate pair in string is invalid.") from None
        elif self.dtype == "bool":
            if isinstance(value, bool):
                return value
        elif self.dtype in ("float32", "float64"):
            if isinstance(value, int | float) and not isinstance(value, bool):
                return value
        elif self.dtype in _INTEGERS:
            low, high = _INTEGERS[self.dtype]
            if isinstance(value, int) and not isinstance(value, bool) and low <= value < high:
                return value
        else:
            raise ServingError(
                grpc.StatusCode.UNIMPLEMENTED,
                f"Conversion of JSON Value: {debug(value)} to type: {type_name(self.dtype)}",
            )
        raise invalid(
            f"JSON Value: {debug(value)} Type: {json_type(value)} is not of expected type: {type_name(self.dtype)}"
        )


def _shape(value: Any) -> tuple[int, ...]:
    """The shape that the first element of each list gives; the others must agree."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if len(shape) > _DEEPEST:
            raise invalid("Encountered list at unexpected level: ", len(shape), " expected < ", _DEEPEST)
        value = value[0] if value else None
    return tuple(shape)


def _shape_text(shape: Sequence[int]) -> str:
    return f"[{','.join(map(str, shape))}]"


def is_base64(value: Any) -> bool:
    """Whether a JSON value stands for bytes."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def decode_base64(value: dict[str, Any]) -> bytes:
    """The bytes that a JSON value stands for."""
    if not is_base64(value):
        raise invalid("JSON Value: ", debug(value), " not formatted correctly for base64 data")
    text: str = value["b64"]
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        pass
    try:
        # TensorFlow Serving's decoder (absl::Base64Unescape) skips white space and takes missing padding.
        text = "".join(text.split())
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise invalid("Unable to base64 decode") from None


def type_name(dtype: str) -> str:
    """TensorFlow's name of a type in messages."""
    return _TYPE_NAMES.get(dtype, dtype)


def json_type(value: Any) -> str:
    """TensorFlow Serving's name of a JSON value's type."""
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return str(value)
    kinds: dict[type, str] = {dict: "Object", list: "Array", str: "String"}
    return kinds.get(type(value), "Number")


def debug(value: Any) -> str:
    """The beginning of a value's JSON, for a message."""
    parts: list[str] = []
    room = _DEBUG_BYTES

    def write(text: str) -> bool:
        nonlocal room
        parts.append(text[: max(room, 0)])
        room -= len(text)
        return room > 0

    def walk(item: Any, indent: str) -> bool:
        if isinstance(item, dict):
            inner = indent + "    "
            first = True
            for key, member in item.items():
                opening = "{" if first else ","
                if not (write(f"{opening}\n{inner}{_quoted(key)}: ") and walk(member, inner)):
                    return False
                first = False
            return write("{}" if first else f"\n{indent}}}")
        if isinstance(item, list):
            if not write("["):
                return False
            for number, element in enumerate(item):
                if (number and not write(", ")) or not walk(element, indent):
                    return False
            return write("]")
        return write(_quoted(item) if isinstance(item, str) else _short_number(item))

    walk(value, "")
    return "".join(parts)


def _quoted(text: str) -> str:
    return json.dumps(text[:_DEBUG_BYTES], ensure_ascii=False).encode("utf-8", "replace").decode()


def _short_number(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 64:
        return repr(float(value)) if value.bit_length() < 1024 else "(a number of many digits)"
    return json.dumps(value)


def format_predict(outputs: Mapping[str, Array], form: Literal["row", "column"]) -> bytes:
    """Write an answer's body; raises ServingError when the tensors do not go into that form."""
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    for array in outputs.values():
        if array.dtype.name not in _WRITABLE:
            raise invalid("Failed to write JSON value for tensor type: ", type_name(array.dtype.name))
    said: Any
    if form == "column":
        columns = {name: _jsonable(name, array) for name, array in outputs.items()}
        said = {"outputs": columns if len(columns) > 1 else next(iter(columns.values()))}
    else:
        batch = -1
        for name, array in outputs.items():
            if array.ndim == 0:
                raise invalid("Tensor name: ", name, " has no shape information ")
            if batch not in (-1, len(array)):
                raise invalid(
                    "Tensor name: ", name, " has inconsistent batch size: ", len(array), " expecting: ", batch
                )
            batch = len(array)
        columns = {name: _jsonable(name, array) for name, array in outputs.items()}
        if len(columns) == 1:
            said = {"predictions": next(iter(columns.values()))}
        else:
            said = {"predictions": [{name: column[i] for name, column in columns.items()} for i in range(batch)]}
    if all(np.isfinite(array).all() for array in outputs.values() if array.dtype.kind == "f"):
        return orjson.dumps(said, option=orjson.OPT_SERIALIZE_NUMPY)
    # NaN and infinities, which JSON lacks and TensorFlow Serving writes: as Python's json does too.
    return json.dumps(said, default=lambda rest: rest.tolist(), ensure_ascii=False).encode()


def _jsonable(name: str, array: Array) -> Any:
    if array.dtype != object:
        return np.ascontiguousarray(array) if array.ndim else array[()]

    def convert(item: Any) -> Any:
        if isinstance(item, list):
            return [convert(one) for one in item]
        if name.endswith("_bytes"):
            return {"b64": base64.b64encode(item).decode()}
        return item.decode("utf-8", "replace")

    return convert(array.tolist())
