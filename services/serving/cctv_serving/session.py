"""Runs a SavedModel with TensorFlow."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2

from cctv_serving.flags import Threads
from cctv_serving.status import ServingError, code_of, invalid
from cctv_serving.versions import NoModel

# What it warns of concerns those who make models.
tf.get_logger().setLevel(logging.ERROR)

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]
Signatures = Mapping[str, meta_graph_pb2.SignatureDef]


class Session(Protocol):
    """An engine with a model in it. Tensors go by their names in the graph."""

    signatures: Signatures

    def run(self, feeds: Feeds, fetches: tuple[str, ...]) -> list[Array]:
        """Run the graph, from any thread; raises ServingError."""

    def close(self) -> None:
        """Release what the model holds."""


class GraphSession:
    """A graph in a session of TensorFlow, which releases the interpreter lock while it runs."""

    def __init__(self, graph: tf.Graph, threads: Threads) -> None:
        self.session = tf.compat.v1.Session(
            graph=graph,
            config=tf.compat.v1.ConfigProto(
                intra_op_parallelism_threads=threads.intra_op, inter_op_parallelism_threads=threads.inter_op
            ),
        )
        self._callable = functools.lru_cache(maxsize=32)(self._make_callable)
        self._making = threading.Lock()

    def run(self, feeds: Feeds, fetches: tuple[str, ...]) -> list[Array]:
        """Run the graph; raises ServingError with TensorFlow's code and message."""
        names = tuple(sorted(feeds))
        try:
            return self._callable(names, fetches)(*[feeds[name] for name in names])
        except tf.errors.OpError as error:
            raise ServingError(code_of(error.error_code), error.message) from None
        except UnicodeDecodeError as error:
            # It is TensorFlow's message: it quotes what it was fed, and the code is lost on the way.
            raise invalid(error.object.decode("utf-8", "replace")) from None

    def close(self) -> None:
        """Release the graph and its variables."""
        self._callable.cache_clear()
        self.session.close()

    def _make_callable(self, feeds: tuple[str, ...], fetches: tuple[str, ...]) -> Callable[..., list[Array]]:
        # The one way into the session without Session.run's bookkeeping, which costs as much as all else here does.
        options = config_pb2.CallableOptions(feed=feeds, fetch=fetches)
        with self._making:
            call: Callable[..., list[Array]] = self.session._make_callable_from_options(options)
        return call


class TensorFlowSession(GraphSession):
    """A SavedModel, of TensorFlow 1 or 2, run as TensorFlow Serving runs it: as a graph in a session."""

    def __init__(self, folder: Path, threads: Threads, tags: Sequence[str] = ("serve",)) -> None:
        """Raise NoModel when the SavedModel cannot be loaded."""
        graph = tf.Graph()
        super().__init__(graph, threads)
        try:
            with graph.as_default():
                meta = tf.compat.v1.saved_model.loader.load(self.session, list(tags), str(folder))
        except (tf.errors.OpError, OSError, ValueError, RuntimeError) as error:
            self.close()
            reason = " ".join(str(getattr(error, "message", error)).split())[:500]
            raise NoModel(f"{folder} holds no SavedModel that loads: {reason}") from None
        self.signatures: Signatures = dict(meta.signature_def)
