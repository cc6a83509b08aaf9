"""Turns a TensorFlow.js graph model (model.json and its weights) into ONNX, without TensorFlow.

Of TensorFlow's operators, those of convolutional networks that CenterNet's graph has; others are refused by name. The
graph's pictures are height x width x channels, ONNX's are channels x height x width: so are the converted inputs and
outputs.

The format: https://github.com/tensorflow/tfjs/tree/master/tfjs-converter (graph models are TensorFlow's GraphDef as
JSON, `weightsManifest` says where in the weights a constant lies); ONNX's operators: https://onnx.ai/onnx/operators/.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 18
IR_VERSION = 10
"""The one of ONNX 1.16: what reads it has no need to be new."""

_SAME_NAME = {"Add": "Add", "AddV2": "Add", "Equal": "Equal", "Identity": "Identity", "Mul": "Mul", "Relu": "Relu"}
_SAME_NAME |= {"Sigmoid": "Sigmoid"}
_CONVOLUTIONS = {"Conv2D", "_FusedConv2D", "DepthwiseConv2dNative", "FusedDepthwiseConv2dNative"}

Array = npt.NDArray[Any]


class CannotConvert(Exception):
    """What of the model is not understood, in one line."""


def convert(model: bytes, weights: bytes, outputs: Sequence[str], documentation: str) -> onnx.ModelProto:
    """Return the part of the graph ``model`` that ``outputs`` (names of nodes) are made by, with its one input."""
    said = json.loads(model)
    graph = _Graph(said["modelTopology"]["node"], _constants(said["weightsManifest"], weights))
    for name in outputs:
        graph.emit(name)
    made = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "graph",
            graph.inputs,
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        doc_string=documentation,
        producer_name="cctv-build-detectors",
    )
    made = onnx.shape_inference.infer_shapes(made, strict_mode=True)
    onnx.checker.check_model(made, full_check=True)
    return made


def _constants(manifest: Sequence[dict[str, Any]], weights: bytes) -> dict[str, Array]:
    found: dict[str, Array] = {}
    position = 0
    for entry in (entry for group in manifest for entry in group["weights"]):
        stored = entry.get("quantization", entry)
        if "scale" in stored:
            raise CannotConvert(
                f"the weight {entry['name']} is quantized to {stored['dtype']}; expected float16 at least"
            )
        kind = np.dtype(stored["dtype"])
        count = int(np.prod(entry["shape"], dtype=np.int64))
        array = np.frombuffer(weights, kind, count, position).reshape(entry["shape"])
        position += count * kind.itemsize
        found[entry["name"]] = array.astype(entry["dtype"])
    if position != len(weights):
        raise CannotConvert(f"the weights have {len(weights)} bytes; the graph expects {position}")
    return found


class _Graph:
    def __init__(self, nodes: Sequence[dict[str, Any]], constants: dict[str, Array]) -> None:
        self._source = {node["name"]: node for node in nodes}
        self._constants = constants
        self._emitted: set[str] = set()
        self.nodes: list[onnx.NodeProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def emit(self, name: str) -> str:
        """Add what makes ``name``, unless it is there; return the name."""
        if name not in self._emitted:
            self._emitted.add(name)
            node = self._source[name]
            self._node(node, node["op"], node.get("input", []), _Attributes(node))
        return name

    def _node(self, node: dict[str, Any], op: str, inputs: list[str], said: _Attributes) -> None:
        name = node["name"]
        if op == "Placeholder":
            rows, height, width, channels = said.shape()
            shape = [rows, channels, height, width]
            self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        elif op in _CONVOLUTIONS:
            self._convolution(name, op, inputs, said)
        elif op in _SAME_NAME:
            self._add(_SAME_NAME[op], [self._operand(i) for i in inputs], name)
        elif op == "Relu6":
            bounds = [self._initializer(f"{name}/{bound}", np.float32(bound)) for bound in (0, 6)]
            self._add("Clip", [self.emit(inputs[0]), *bounds], name)
        elif op == "Cast":
            self._add("Cast", [self.emit(inputs[0])], name, to=TensorProto.FLOAT)
        elif op == "MaxPool":
            self._add(
                "MaxPool",
                [self.emit(inputs[0])],
                name,
                kernel_shape=said.spatial("ksize"),
                strides=said.spatial("strides"),
                auto_pad=said.padding(),
            )
        elif op == "Mean":
            axes = [_channels_first(axis) for axis in self._constants[inputs[1]].reshape(-1).tolist()]
            values = self._initializer(f"{name}/axes", np.array(axes, np.int64))
            self._add("ReduceMean", [self.emit(inputs[0]), values], name, keepdims=1)
        elif op == "ConcatV2":
            *parts, axis = inputs
            axis_number = _channels_first(int(self._constants[axis]))
            self._add("Concat", [self.emit(part) for part in parts], name, axis=axis_number)
        elif op == "ResizeBilinear":
            if said.flag("align_corners") or said.flag("half_pixel_centers"):
                raise CannotConvert(f"{name} aligns pixels in another way than this converter knows")
            sizes = self._initializer(f"{name}/sizes", self._constants[inputs[1]].astype(np.int64))
            self._add(
                "Resize",
                [self.emit(inputs[0]), "", "", sizes],
                name,
                axes=[2, 3],
                mode="linear",
                coordinate_transformation_mode="asymmetric",
            )
        else:
            raise CannotConvert(f"the operator {op} of {name} is not known")

    def _convolution(self, name: str, op: str, inputs: list[str], said: _Attributes) -> None:
        kernel = self._constants[inputs[1]]
        height, width, channels, multiplier = kernel.shape
        if "epthwise" in op:
            groups = channels
            kernel = kernel.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)
        else:
            groups = 1
            kernel = kernel.transpose(3, 2, 0, 1)
        operands = [self.emit(inputs[0]), self._initializer(inputs[1], kernel)]
        fused = said.texts("fused_ops")
        if fused[:1] == ["BiasAdd"]:
            operands.append(self._initializer(inputs[2], self._constants[inputs[2]]))
            fused = fused[1:]
        if fused not in ([], ["Relu"]):
            raise CannotConvert(f"what is fused into {name} is not known: {', '.join(fused)}")
        self._add(
            "Conv",
            operands,
            f"{name}/linear" if fused else name,
            kernel_shape=[height, width],
            strides=said.spatial("strides"),
            dilations=said.spatial("dilations"),
            auto_pad=said.padding(),
            group=groups,
        )
        if fused:
            self._add("Relu", [f"{name}/linear"], name)

    def _operand(self, name: str) -> str:
        if name not in self._constants:
            return self.emit(name)
        if self._constants[name].size != 1:
            raise CannotConvert(f"the constant {name} is no number")
        return self._initializer(name, self._constants[name].reshape(()))

    def _initializer(self, name: str, value: Array | np.float32) -> str:
        if name not in self._emitted:
            self._emitted.add(name)
            self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name))
        return name

    def _add(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))


class _Attributes:
    """A node's attributes, which protobuf's JSON writes as {"kind": value}, bytes as base64 and numbers as text."""

    def __init__(self, node: dict[str, Any]) -> None:
        self._name = node["name"]
        self._said = node.get("attr", {})

    def flag(self, key: str) -> bool:
        return bool(self._said.get(key, {}).get("b", False))

    def texts(self, key: str) -> list[str]:
        return [base64.b64decode(text).decode() for text in self._said.get(key, {}).get("list", {}).get("s", [])]

    def spatial(self, key: str) -> list[int]:
        """Of batch, height, width and channels, the two in the middle."""
        numbers = [int(number) for number in self._said[key]["list"]["i"]]
        if len(numbers) != 4 or numbers[0] != 1 or numbers[3] != 1:
            raise CannotConvert(f"{key} of {self._name} are {numbers}; expected 1, height, width, 1")
        return numbers[1:3]

    def padding(self) -> str:
        said = base64.b64decode(self._said["padding"]["s"]).decode()
        try:
            return {"SAME": "SAME_UPPER", "VALID": "VALID"}[said]
        except KeyError:
            raise CannotConvert(f"the padding {said} of {self._name} is not known") from None

    def shape(self) -> list[int]:
        return [int(dimension["size"]) for dimension in self._said["shape"]["shape"]["dim"]]


def _channels_first(axis: int) -> int:
    """Where an axis of batch x height x width x channels is in batch x channels x height x width."""
    return (0, 2, 3, 1)[axis]
