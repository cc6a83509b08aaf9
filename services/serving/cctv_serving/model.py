"""One version of one model: a SavedModel, its signatures, and running them."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

from cctv_serving import tensors
from cctv_serving.flags import Threads
from cctv_serving.status import ServingError, code_of, invalid
from cctv_serving.versions import NoModel, Version

Array = npt.NDArray[Any]
DEFAULT_SIGNATURE = "serving_default"
WARM_UP_FILE = Path("assets.extra", "tf_serving_warmup_requests")
_MAX_WARM_UP_REQUESTS = 1000


class Model:
    """A loaded SavedModel, of TensorFlow 1 or 2, that is run as TensorFlow Serving runs it: as a graph in a session.

    ``run`` may be called from any thread; TensorFlow releases the interpreter lock meanwhile.
    """

    def __init__(self, name: str, version: Version, threads: Threads, tags: Sequence[str] = ("serve",)) -> None:
        """Raise NoModel when the SavedModel cannot be loaded."""
        self.name = name
        self.version = version.number
        self.folder = version.folder
        graph = tf.Graph()
        self._session = tf.compat.v1.Session(
            graph=graph,
            config=tf.compat.v1.ConfigProto(
                intra_op_parallelism_threads=threads.intra_op, inter_op_parallelism_threads=threads.inter_op
            ),
        )
        try:
            with graph.as_default():
                meta = tf.compat.v1.saved_model.loader.load(self._session, list(tags), str(self.folder))
        except (tf.errors.OpError, OSError, ValueError, RuntimeError) as error:
            reason = " ".join(str(getattr(error, "message", error)).split())[:500]
            raise NoModel(f"{self.folder} holds no SavedModel that loads: {reason}") from None
        self.signatures: dict[str, meta_graph_pb2.SignatureDef] = dict(meta.signature_def)
        self._callable = functools.lru_cache(maxsize=32)(self._make_callable)
        self._making = threading.Lock()

    def resolve(self, spec: model_pb2.ModelSpec) -> None:
        """Raise ServingError unless this is the model that ``spec`` names."""
        if spec.WhichOneof("version_choice") == "version_label":
            raise invalid("Unrecognized servable version label: ", spec.version_label)
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        version = asked_version(spec)
        if spec.name != self.name or version not in (None, self.version):
            wanted = f"Latest({spec.name})" if version is None else f"Specific({spec.name}, {version})"
            raise ServingError(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {wanted}")

    def inputs_of(self, signature_name: str) -> dict[str, str]:
        """The inputs of a signature, as `json_tensor` takes them."""
        name = signature_name or DEFAULT_SIGNATURE
        if name not in self.signatures:
            raise invalid(f'Serving signature name: "{name}" not found in signature def')
        return {alias: tensors.numpy_name(info.dtype) for alias, info in self.signatures[name].inputs.items()}

    def signature(self, signature_name: str) -> meta_graph_pb2.SignatureDef:
        """A signature by its name, "" being the default one."""
        name = signature_name or DEFAULT_SIGNATURE
        if name not in self.signatures:
            raise ServingError(grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
        return self.signatures[name]

    def prepare(
        self, signature_name: str, inputs: Mapping[str, Array], output_filter: Iterable[str] = ()
    ) -> Callable[[], dict[str, Array]]:
        """Check a request against the signature; what comes back runs it. Both raise ServingError."""
        signature = self.signature(signature_name)
        _check_inputs(signature, set(inputs))
        aliases = tuple(sorted(_check_outputs(signature, list(output_filter))))
        feeds = tuple(sorted(inputs))
        call = self._callable(
            tuple(signature.inputs[alias].name for alias in feeds),
            tuple(signature.outputs[alias].name for alias in aliases),
        )
        values = [inputs[alias] for alias in feeds]

        def run() -> dict[str, Array]:
            try:
                return dict(zip(aliases, call(*values), strict=True))
            except tf.errors.OpError as error:
                raise ServingError(code_of(error.error_code), error.message) from None

        return run

    def warm_up(self, iterations: int = 1) -> int:
        """Run the requests that come with the model, or made-up ones, so that the first real one is not slow.

        Returns how many ran. Raises ServingError when one of the model's own fails.
        """
        path = self.folder / WARM_UP_FILE
        if not path.is_file():
            return self._warm_up_blindly()
        count = 0
        for record in tf.compat.v1.io.tf_record_iterator(str(path)):
            log = prediction_log_pb2.PredictionLog.FromString(record)
            if log.WhichOneof("log_type") == "predict_log":
                for __ in range(iterations):
                    self.predict(log.predict_log.request)()
                count += 1
            if count == _MAX_WARM_UP_REQUESTS:
                break
        return count

    def predict(self, request: predict_pb2.PredictRequest) -> Callable[[], dict[str, Array]]:
        """Check a PredictRequest (but not which model it names); what comes back runs it."""
        signature = self.signature(request.model_spec.signature_name)
        _check_inputs(signature, set(request.inputs))
        arrays = {}
        for alias, proto in request.inputs.items():
            try:
                arrays[alias] = tensors.from_proto(proto)
            except (ValueError, TypeError, OverflowError):
                raise invalid("tensor parsing error: ", alias) from None
        return self.prepare(request.model_spec.signature_name, arrays, request.output_filter)

    def _warm_up_blindly(self) -> int:
        """Feed an image to signatures that want bytes, zeros to others; what does not suit them does no harm."""
        image = tf.io.encode_jpeg(tf.zeros([224, 224, 3], tf.uint8)).numpy()
        count = 0
        for name, signature in self.signatures.items():
            inputs = {}
            for alias, info in signature.inputs.items():
                dtype = tensors.numpy_name(info.dtype)
                shape = [dim.size if dim.size >= 0 else 1 for dim in info.tensor_shape.dim]
                if dtype and np.prod(shape) <= 2**24:
                    inputs[alias] = np.full(shape, image, object) if dtype == "object" else np.zeros(shape, dtype)
            try:
                self.prepare(name, inputs)()
                count += 1
            except ServingError:
                continue
        return count

    def _make_callable(self, feeds: tuple[str, ...], fetches: tuple[str, ...]) -> Callable[..., list[Array]]:
        # The one way into the session without Session.run's bookkeeping, which costs as much as all else here does.
        options = config_pb2.CallableOptions(feed=feeds, fetch=fetches)
        with self._making:
            try:
                call: Callable[..., list[Array]] = self._session._make_callable_from_options(options)
            except tf.errors.OpError as error:
                raise ServingError(code_of(error.error_code), error.message) from None
        return call


def asked_version(spec: model_pb2.ModelSpec) -> int | None:
    """The version that a request is about, None for the newest.

    OpenVINO's client, made for TensorFlow Serving's interface, always sends one, and 0 for the newest.
    """
    return spec.version.value or None if spec.WhichOneof("version_choice") == "version" else None


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
