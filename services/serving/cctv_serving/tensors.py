"""TensorProto to NumPy and back, by the rules of TensorFlow's own Tensor::FromProto and AsProtoField."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

Array = npt.NDArray[Any]

MAX_PADDED_BYTES = 64 * 1024 * 1024
"""A few bytes of request may name a tensor of any size, filled with one value; no larger ones are made so."""

_FIELDS = {
    "float32": "float_val",
    "float64": "double_val",
    "int32": "int_val",
    "int16": "int_val",
    "int8": "int_val",
    "uint8": "int_val",
    "uint16": "int_val",
    "int64": "int64_val",
    "bool": "bool_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    "object": "string_val",
}


def numpy_name(data_type: int) -> str:
    """NumPy's name of TensorFlow's type, "object" for strings, "" for what NumPy has no type for."""
    try:
        return str(np.dtype(tf.as_dtype(data_type).as_numpy_dtype).name)
    except (TypeError, KeyError):
        return ""


def data_type_name(array: Array) -> str:
    """The name of the array's type in TensorFlow's messages, such as DT_FLOAT."""
    dtype = tf.string if array.dtype == object else tf.as_dtype(array.dtype)
    return str(types_pb2.DataType.Name(dtype.as_datatype_enum))


def from_proto(proto: tensor_pb2.TensorProto) -> Array:
    """Raise ValueError when the message is no tensor."""
    if proto.tensor_shape.unknown_rank:
        raise ValueError("has no shape")
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if any(size < 0 for size in shape) or len(shape) > 64:
        raise ValueError("has an impossible shape")
    count = math.prod(shape)
    name = numpy_name(proto.dtype)
    if not name:
        raise ValueError("has no type that can be fed")
    dtype = np.dtype(tf.as_dtype(proto.dtype).as_numpy_dtype)
    if proto.tensor_content and name != "object":
        if len(proto.tensor_content) != count * dtype.itemsize:
            raise ValueError("has a content that does not fill its shape")
        return np.frombuffer(proto.tensor_content, dtype).reshape(shape)
    if count * max(dtype.itemsize, 1) > MAX_PADDED_BYTES + proto.ByteSize():
        raise ValueError("is larger than its values")
    if name not in _FIELDS:  # half, bfloat16, complex: rare, left to TensorFlow
        array: Array = tf.make_ndarray(proto)
        return array
    values = getattr(proto, _FIELDS[name])[:count]
    if name == "object":
        if proto.tensor_content:
            raise ValueError("has strings in a form that is not read")
        array = np.full(count, b"", dtype=object)
    else:
        array = np.zeros(count, dtype)
        if _FIELDS[name] == "int_val":  # it may hold more than the type does
            values = np.array(values, np.int64).astype(dtype)
    array[: len(values)] = values
    if len(values):
        array[len(values) :] = values[-1]
    return array.reshape(shape)


def to_proto(array: Array, proto: tensor_pb2.TensorProto, as_content: bool = False) -> None:
    """Fill ``proto``: typed values as TensorFlow Serving sends them, or raw content when asked for."""
    name = array.dtype.name
    if name not in _FIELDS or (as_content and name != "object"):
        proto.CopyFrom(tf.make_tensor_proto(array))
        return
    proto.dtype = tf.string.as_datatype_enum if name == "object" else tf.as_dtype(array.dtype).as_datatype_enum
    for size in array.shape:
        proto.tensor_shape.dim.add().size = size
    getattr(proto, _FIELDS[name]).extend(array.ravel().tolist())
