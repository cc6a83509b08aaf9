from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from cctv_serving import tensors
from tensorflow.core.framework import tensor_pb2


def proto(dtype: tf.DType, shape: list[int], **fields: object) -> tensor_pb2.TensorProto:
    made = tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum, **fields)
    for size in shape:
        made.tensor_shape.dim.add().size = size
    return made


@pytest.mark.parametrize(
    "array",
    [
        np.array([b"a\0", b""], object),
        np.array([[1.5, -2]], np.float32),
        np.array(2.5),
        np.array([2**40]),
        np.array([2**63 + 1], np.uint64),
        np.array([-3], np.int8),
        np.array([True, False]),
        np.array([1.5], np.float16),
        np.array([1 + 2j], np.complex64),
        np.zeros((0, 3), np.float32),
    ],
)
@pytest.mark.parametrize("as_content", [False, True])
def test_tensors_go_there_and_back(array: np.ndarray, as_content: bool) -> None:
    there = tensor_pb2.TensorProto()
    tensors.to_proto(array, there, as_content)
    back = tensors.from_proto(tensor_pb2.TensorProto.FromString(there.SerializeToString()))
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tolist() == array.tolist()
    if array.dtype != object:  # and TensorFlow reads the same
        assert tf.make_ndarray(there).tolist() == array.tolist()


def test_the_last_value_fills_the_rest_of_the_shape() -> None:
    assert tensors.from_proto(proto(tf.float32, [4], float_val=[1, 2])).tolist() == [1, 2, 2, 2]
    assert tensors.from_proto(proto(tf.string, [2])).tolist() == [b"", b""]
    assert tensors.from_proto(proto(tf.int64, [1], int64_val=[1, 2])).tolist() == [1]


def test_integers_too_large_for_their_type_are_narrowed() -> None:
    assert tensors.from_proto(proto(tf.int8, [1], int_val=[257])).tolist() == [1]
    assert tensors.from_proto(proto(tf.uint8, [1], int_val=[-1])).tolist() == [255]


@pytest.mark.parametrize(
    "wrong",
    [
        proto(tf.float32, [-1], float_val=[1]),
        proto(tf.float32, [2], tensor_content=b"12345"),
        proto(tf.float32, [10**6, 10**6], float_val=[1]),
        proto(tf.string, [2**62]),
        proto(tf.resource, [1]),
        proto(tf.string, [1], tensor_content=b"\1a"),
        tensor_pb2.TensorProto(dtype=99),
        tensor_pb2.TensorProto(dtype=1, tensor_shape={"unknown_rank": True}),
        proto(tf.float32, [1] * 80, float_val=[1]),
    ],
)
def test_what_is_no_tensor_is_refused_without_making_one(wrong: tensor_pb2.TensorProto) -> None:
    with pytest.raises(ValueError, match=r"^(has|is larger) "):
        tensors.from_proto(wrong)
