from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import structlog
import tensorflow as tf
from cctv_serving.flags import Threads
from cctv_serving.openvino_session import CannotSplit, OpenVinoSession, split
from cctv_serving.session import TensorFlowSession
from cctv_serving.status import ServingError
from tensorflow.core.example import example_pb2

THREADS = Threads(1, 1)


@pytest.fixture(scope="module")
def sessions(half_plus_two: Path) -> Iterator[tuple[TensorFlowSession, OpenVinoSession, list[Any]]]:
    with structlog.testing.capture_logs() as told:
        plain = TensorFlowSession(half_plus_two, THREADS)
        other = OpenVinoSession(
            TensorFlowSession(half_plus_two, THREADS), half_plus_two, structlog.get_logger(), threads=THREADS
        )
    yield plain, other, told
    plain.close()
    other.close()


def example(x: float) -> bytes:
    said = example_pb2.Example()
    said.features.feature["x"].float_list.value.append(x)
    content: bytes = said.SerializeToString()
    return content


def test_both_engines_give_the_same_answers(sessions: tuple[TensorFlowSession, OpenVinoSession, list[Any]]) -> None:
    plain, other, __ = sessions
    fed = {"x": np.array([[1], [4]], np.float32), "inputs": np.array([example(1), example(4)], object)}
    for name, signature in plain.signatures.items():
        ((alias, given),) = signature.inputs.items()
        fetches = tuple(info.name for info in signature.outputs.values())
        for one, two in zip(*(each.run({given.name: fed[alias]}, fetches) for each in (plain, other)), strict=True):
            assert (one.dtype, one.tolist()) == (two.dtype, two.tolist()), name


def test_it_tells_what_is_left_to_tensorflow(
    sessions: tuple[TensorFlowSession, OpenVinoSession, list[Any]], half_plus_two: Path
) -> None:
    # Its labels are text, and made behind the numbers.
    assert [entry["signature"] for entry in sessions[2] if entry["log_level"] == "warning"] == ["classify_x_to_y"]
    with pytest.raises(CannotSplit):
        split(tf.saved_model.load(str(half_plus_two)), "classify_x_to_y")


def test_only_what_openvino_lacks_is_in_front(half_plus_two: Path) -> None:
    regress = split(tf.saved_model.load(str(half_plus_two)), "regress_x_to_y")
    assert {node.op for node in regress.network.node} >= {"Placeholder", "Mul"}
    assert not {"ParseExample", "ParseExampleV2"} & {node.op for node in regress.network.node}


def test_what_openvino_refuses_is_a_clients_error(
    sessions: tuple[TensorFlowSession, OpenVinoSession, list[Any]],
) -> None:
    __, other, __ = sessions
    signature = other.signatures["serving_default"]
    for wrong, message in (
        (np.zeros([1, 2, 3, 4], np.float32), "shape"),
        (np.zeros([1, 1], np.int64), "Type mismatch: actual int64 vs. expect float"),
    ):
        with pytest.raises(ServingError, match=message) as told:
            other.run({signature.inputs["x"].name: wrong}, (signature.outputs["y"].name,))
        assert told.value.code is grpc.StatusCode.INVALID_ARGUMENT
