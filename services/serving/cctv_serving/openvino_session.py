"""Runs a SavedModel with OpenVINO.

What OpenVINO has no operations for, such as decoding pictures, stays with TensorFlow: a signature's graph is cut into
a front, which TensorFlow runs, and the network behind it, which OpenVINO runs.
"""

from __future__ import annotations

import queue
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import tensorflow as tf
from cctv_common.log import Log
from tensorflow.core.framework import graph_pb2, node_def_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from cctv_serving.flags import Threads
from cctv_serving.json_tensor import type_name
from cctv_serving.session import Array, Feeds, GraphSession, Signatures, TensorFlowSession
from cctv_serving.status import invalid

_FOREIGN = (tf.string, tf.variant, tf.resource)
"""Types of tensors that only TensorFlow has."""


class CannotSplit(Exception):
    """Why OpenVINO has nothing to do in a signature."""


@dataclass(frozen=True)
class Parts:
    """A signature's graph, cut: what is in front, the names of the tensors at the cut, and the network behind it."""

    front: graph_pb2.GraphDef
    inputs: dict[str, str]
    outputs: dict[str, str]
    cut: tuple[str, ...]
    network: graph_pb2.GraphDef


def split(loaded: Any, signature_name: str) -> Parts:
    """Cut the graph of a signature of a loaded model, its variables made constants.

    Raises CannotSplit when nothing would be left.
    """
    function = loaded.signatures[signature_name]
    frozen = convert_variables_to_constants_v2(function, lower_control_flow=False)
    graph = frozen.graph
    front = _front(graph)
    outputs = {
        name: tensor.name for name, tensor in zip(sorted(function.structured_outputs), frozen.outputs, strict=True)
    }
    whole = graph.as_graph_def()
    nodes = {node.name: node for node in whole.node}
    network = graph_pb2.GraphDef()
    cut: dict[str, None] = {}
    waiting = [graph.get_tensor_by_name(name).op for name in outputs.values()]
    seen: set[str] = set()
    while waiting:
        operation = waiting.pop()
        if operation.name in seen:
            continue
        seen.add(operation.name)
        if operation.name in front and operation.type != "Const":
            raise CannotSplit(f"{operation.name} ({operation.type}) is an operation that only TensorFlow has")
        node = network.node.add()
        node.CopyFrom(nodes[operation.name])
        del node.input[:]
        for tensor in operation.inputs:
            if tensor.op.name in front and tensor.op.type != "Const":
                cut[tensor.name] = None
                node.input.append(_placeholder_name(tensor.name))
            else:
                waiting.append(tensor.op)
                node.input.append(tensor.name)
    if len(seen) == len(outputs):
        raise CannotSplit("all of it is operations that only TensorFlow has")
    for name in cut:
        network.node.append(_placeholder(graph.get_tensor_by_name(name)))
    inputs = {
        name: tensor.name
        for name, tensor in zip(sorted(function.structured_input_signature[1]), frozen.inputs, strict=True)
    }
    needed = sorted({name.partition(":")[0] for name in (*cut, *inputs.values())})
    return Parts(tf.compat.v1.graph_util.extract_sub_graph(whole, needed), inputs, outputs, tuple(cut), network)


def _front(graph: tf.Graph) -> set[str]:
    """The operations that are TensorFlow's alone, inputs, and all that these depend on."""
    front: set[str] = set()
    waiting = [
        operation for operation in graph.get_operations() if operation.type == "Placeholder" or _foreign(operation)
    ]
    while waiting:
        operation = waiting.pop()
        if operation.name not in front:
            front.add(operation.name)
            waiting.extend(tensor.op for tensor in operation.inputs)
    return front


def _foreign(operation: tf.Operation) -> bool:
    return (
        any(tensor.dtype in _FOREIGN for tensor in (*operation.inputs, *operation.outputs))
        or any(attribute.HasField("func") for attribute in operation.node_def.attr.values())
        or operation.type.startswith("Decode")
    )


def _placeholder_name(tensor: str) -> str:
    return "cut_" + tensor.replace("/", "_").replace(":", "_")


def _placeholder(tensor: tf.Tensor) -> node_def_pb2.NodeDef:
    node = node_def_pb2.NodeDef(name=_placeholder_name(tensor.name), op="Placeholder")
    node.attr["dtype"].type = tensor.dtype.as_datatype_enum
    node.attr["shape"].shape.CopyFrom(tensor.shape.as_proto())
    return node


class _Signature:
    """A signature, run by both engines one after the other."""

    def __init__(self, core: openvino.Core, parts: Parts, config: dict[str, Any], threads: Threads) -> None:
        self._parts = parts
        graph = tf.Graph()
        with graph.as_default():
            tf.graph_util.import_graph_def(parts.front, name="")
        self._front = GraphSession(graph, threads)
        with tempfile.NamedTemporaryFile(suffix=".pb") as file:
            file.write(parts.network.SerializeToString())
            file.flush()
            self._compiled = core.compile_model(core.read_model(file.name), "CPU", config)
        # Some have their operation's name only, some with the number of its output.
        self._ports = {
            name.removesuffix(":0"): port
            for port in (*self._compiled.inputs, *self._compiled.outputs)
            for name in port.names
        }
        self._idle: queue.LifoQueue[Any] = queue.LifoQueue()

    def run(self, inputs: Feeds, outputs: Iterable[str]) -> list[Array]:
        parts = self._parts
        feeds = {parts.inputs[name]: array for name, array in inputs.items()}
        at_cut = self._at_cut(feeds)
        try:
            request = self._idle.get_nowait()
        except queue.Empty:
            request = self._compiled.create_infer_request()
        try:
            request.infer(
                {self._ports[_placeholder_name(name)]: array for name, array in at_cut.items()},
                share_inputs=True,
            )
            return [
                request.get_tensor(self._ports[parts.outputs[name].removesuffix(":0")]).data.copy() for name in outputs
            ]
        except (RuntimeError, TypeError, ValueError) as error:
            raise invalid(" ".join(str(error).split())[-500:]) from None
        finally:
            self._idle.put(request)

    def _at_cut(self, feeds: Feeds) -> Feeds:
        behind = tuple(name for name in self._parts.cut if name not in feeds)
        found = dict(zip(behind, self._front.run(feeds, behind), strict=True)) if behind else {}
        for name, array in feeds.items():
            if name in self._parts.cut:  # it goes into the network as it came
                expected = self._front.session.graph.get_tensor_by_name(name).dtype.as_numpy_dtype
                if array.dtype != expected:
                    actual, wanted = (type_name(np.dtype(dtype).name) for dtype in (array.dtype, expected))
                    raise invalid(f"Type mismatch: actual {actual} vs. expect {wanted}")
                found[name] = array
        return found

    def close(self) -> None:
        self._front.close()


class OpenVinoSession:
    """A SavedModel, each signature of which OpenVINO runs as far as it can; TensorFlow runs the rest."""

    def __init__(
        self,
        tensorflow: TensorFlowSession,
        folder: Path,
        log: Log,
        *,
        threads: Threads,
        tags: Sequence[str] = ("serve",),
        precision: str = "f32",
    ) -> None:
        """``precision``: what to compute with; "f32" as TensorFlow does, "f16" or "bf16" where the CPU has these."""
        self._tensorflow = tensorflow
        self.signatures: Signatures = tensorflow.signatures
        core = openvino.Core()
        config: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": precision,
            # Others run on these cores, too.
            "ENABLE_CPU_PINNING": False,
        }
        if threads.intra_op:
            config["INFERENCE_NUM_THREADS"] = threads.intra_op * max(threads.inter_op, 1)
        if threads.inter_op:
            config["NUM_STREAMS"] = threads.inter_op
        loaded = tf.saved_model.load(str(folder), tags=list(tags))
        self._runs: dict[frozenset[str], tuple[meta_graph_pb2.SignatureDef, _Signature]] = {}
        for name, signature in self.signatures.items():
            key = _key(signature)
            if key in self._runs or not signature.inputs:
                continue
            try:
                self._runs[key] = signature, _Signature(core, split(loaded, name), config, threads)
            except (CannotSplit, KeyError, ValueError, RuntimeError) as error:
                reason = " ".join(str(error).split())[:300]
                log.warning("TensorFlow runs a signature that OpenVINO cannot", signature=name, reason=reason)

    def run(self, feeds: Feeds, fetches: tuple[str, ...]) -> list[Array]:
        """Run the signature that these are inputs and outputs of; raises ServingError."""
        for signature, found in self._runs.values():
            inputs = {info.name: alias for alias, info in signature.inputs.items()}
            outputs = {info.name: alias for alias, info in signature.outputs.items()}
            if inputs.keys() == feeds.keys() and outputs.keys() >= set(fetches):
                arrays = {inputs[name]: array for name, array in feeds.items()}
                return found.run(arrays, [outputs[name] for name in fetches])
        return self._tensorflow.run(feeds, fetches)

    def close(self) -> None:
        """Release the model in both engines."""
        for __, found in self._runs.values():
            found.close()
        self._runs.clear()
        self._tensorflow.close()


def _key(signature: meta_graph_pb2.SignatureDef) -> frozenset[str]:
    return frozenset(info.name for info in (*signature.inputs.values(), *signature.outputs.values()))
