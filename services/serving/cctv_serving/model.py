"""One version of one model: its signatures, and what a request asks of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import numpy.typing as npt
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import predict_pb2

from cctv_serving import tensors
from cctv_serving.batching import Batches
from cctv_serving.session import Session
from cctv_serving.status import ServingError, invalid
from cctv_serving.versions import Version

Array = npt.NDArray[Any]
DEFAULT_SIGNATURE = "serving_default"


@dataclass(frozen=True)
class Call:
    """One run of the graph: what is fed, and what is wanted, by the tensors' names."""

    feeds: Mapping[str, Array]
    fetches: tuple[str, ...]


@dataclass(frozen=True)
class Prediction:
    """A checked predict request."""

    call: Call
    aliases: tuple[str, ...]

    def outputs(self, values: list[Array]) -> dict[str, Array]:
        """The answer's tensors by the names that the signature gives them."""
        return dict(zip(self.aliases, values, strict=True))


class Model:
    """A loaded model. ``ran`` is told of each run: the model's name, how many items, and the seconds.

    ``batches``: what gathers its requests, if they are to be gathered.
    """

    def __init__(
        self, name: str, version: Version, session: Session, ran: Callable[[str, int, float], None] = lambda *_: None
    ) -> None:
        self.name = name
        self.version = version.number
        self.folder = version.folder
        self.session = session
        self.batches: Batches | None = None
        self._ran = ran

    @property
    def signatures(self) -> Mapping[str, meta_graph_pb2.SignatureDef]:
        """The signatures by name."""
        return self.session.signatures

    def run(self, feeds: Mapping[str, Array], fetches: tuple[str, ...]) -> list[Array]:
        """Run the graph for a request, or for several; raises ServingError."""
        began = time.perf_counter()
        values = self.session.run(feeds, fetches)
        items = max((len(array) if array.ndim else 1 for array in feeds.values()), default=1)
        self._ran(self.name, items, time.perf_counter() - began)
        return values

    def close(self) -> None:
        """Release the model; nobody uses it any more."""
        if self.batches:
            self.batches.close()
        self.session.close()

    def inputs_of(self, signature_name: str) -> dict[str, str]:
        """The inputs of a signature, as `json_tensor` takes them."""
        name = signature_name or DEFAULT_SIGNATURE
        if name not in self.signatures:
            raise invalid(f'Serving signature name: "{name}" not found in signature def')
        return {alias: tensors.numpy_name(info.dtype) for alias, info in self.signatures[name].inputs.items()}

    def predict(self, request: predict_pb2.PredictRequest) -> Prediction:
        """Check a PredictRequest (but not which model it names); raises ServingError."""
        signature = self._signature(request.model_spec.signature_name)
        _check_inputs(signature, set(request.inputs))
        arrays = {}
        for alias, proto in request.inputs.items():
            try:
                arrays[alias] = tensors.from_proto(proto)
            except (ValueError, TypeError, OverflowError):
                raise invalid("tensor parsing error: ", alias) from None
        return self.prepare(request.model_spec.signature_name, arrays, request.output_filter)

    def prepare(
        self, signature_name: str, inputs: Mapping[str, Array], output_filter: Iterable[str] = ()
    ) -> Prediction:
        """Check inputs against the signature; raises ServingError."""
        signature = self._signature(signature_name)
        _check_inputs(signature, set(inputs))
        aliases = tuple(sorted(_check_outputs(signature, list(output_filter))))
        return Prediction(
            Call(
                {signature.inputs[alias].name: array for alias, array in inputs.items()},
                tuple(signature.outputs[alias].name for alias in aliases),
            ),
            aliases,
        )

    def _signature(self, signature_name: str) -> meta_graph_pb2.SignatureDef:
        name = signature_name or DEFAULT_SIGNATURE
        if name not in self.signatures:
            raise ServingError(grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
        return self.signatures[name]


def _names(names: Iterable[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"


def _check_inputs(signature: meta_graph_pb2.SignatureDef, given: set[str]) -> None:
    expected = set(signature.inputs)
    if len(given) != len(expected):
        raise invalid(
            f"input size does not match signature: {len(given)}!={len(expected)} len({_names(given)}) != "
            f"len({_names(expected)}). Sent extra: {_names(given - expected)}. "
            f"Missing but required: {_names(expected - given)}."
        )
    for alias in sorted(given - expected):
        raise invalid(
            f"input tensor alias not found in signature: {alias}. Inputs expected to be in the set {_names(expected)}."
        )


def _check_outputs(signature: meta_graph_pb2.SignatureDef, wanted: list[str]) -> list[str]:
    seen: set[str] = set()
    for alias in wanted:
        if alias not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {_names(signature.outputs)}."
            )
        if alias in seen:
            raise invalid("duplicate output tensor alias: ", alias)
        seen.add(alias)
    return wanted or list(signature.outputs)
