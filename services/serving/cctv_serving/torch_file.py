"""Reads the tensors of a PyTorch checkpoint without PyTorch."""

from __future__ import annotations

import collections
import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


@dataclass
class _Storage:
    dtype: np.dtype[Any]
    values: npt.NDArray[Any] | None = None


@dataclass(frozen=True)
class _View:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> npt.NDArray[Any]:
        if self.storage.values is None:
            raise ValueError("the checkpoint names a tensor that it does not hold")
        tail = self.storage.values[self.offset :]
        last = sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        if last >= tail.size:
            raise ValueError("the checkpoint has a tensor that reaches beyond its storage")
        step = self.storage.dtype.itemsize
        return np.lib.stride_tricks.as_strided(tail, self.shape, [s * step for s in self.strides]).copy()


class _Unpickler(pickle.Unpickler):
    """Knows tensors, numbers and dictionaries; refuses any other class, so a checkpoint cannot run code."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: _View(storage, offset, tuple(shape), tuple(strides))
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise pickle.UnpicklingError(f"the checkpoint holds a {module}.{name}; only plain tensors are read")

    def persistent_load(self, pid: Any) -> _Storage:
        __, dtype, key, __, __, __ = pid
        return self.storages.setdefault(key, _Storage(dtype))


def read(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the tensors, by name, of a checkpoint in the format that PyTorch wrote before version 1.6.

    Raises ValueError or pickle.UnpicklingError when the file is something else.
    """
    file = io.BytesIO(path.read_bytes())
    if _Unpickler(file).load() != _MAGIC or _Unpickler(file).load() != _PROTOCOL:
        raise ValueError(f"{path} is no PyTorch checkpoint of the older format")
    _Unpickler(file).load()  # byte order and sizes of C types of the machine that wrote it
    body = _Unpickler(file)
    views: dict[str, _View] = body.load()
    for key in _Unpickler(file).load():
        storage = body.storages[key]
        count = int.from_bytes(file.read(8), "little")
        storage.values = np.frombuffer(file.read(count * storage.dtype.itemsize), storage.dtype)
    return {name: view.array() for name, view in views.items()}
