"""Model handlers: how to show frames to a model, and how to read what it says.

A handler knows nothing of protocols. To add one, write a class with ``outputs``, ``inputs`` and ``read`` and register a
factory under the name that MODELS gives it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from cctv_consumer.labels import CLASSES, imagenet_labels

Array = npt.NDArray[Any]
Inputs = Mapping[str, Sequence[bytes] | Array]
"""Tensors by input name: byte strings, or an array; the first dimension counts frames."""
Outputs = Mapping[str, Array]


class BadAnswer(ValueError):
    """The model's outputs are not those that its handler expects."""


class Handler(Protocol):
    """How one kind of model is asked and read."""

    @property
    def outputs(self) -> Sequence[str]:
        """The outputs that ``read`` wants; the server need not send others."""

    def inputs(self, jpegs: Sequence[bytes]) -> Inputs:
        """Build the tensors for a batch of JPEG pictures."""

    def read(self, outputs: Outputs, count: int) -> list[tuple[str, float]]:
        """Return a label and its probability for each of ``count`` pictures; raises BadAnswer."""


class HandlerSettings(Protocol):
    """The settings that handlers read."""

    @property
    def imagenet_labels_file(self) -> Path | None:
        """The class names, or None for those of the wheel."""


H = TypeVar("H", bound=Handler)
HANDLERS: dict[str, Callable[[HandlerSettings], Handler]] = {}


def handler(name: str) -> Callable[[type[H]], type[H]]:
    """Register a handler, which is made from HandlerSettings, under ``name``."""

    def register(factory: type[H]) -> type[H]:
        HANDLERS[name] = factory
        return factory

    return register


@handler("imagenet")
class ImageNet:
    """A classifier with the signature ``image_bytes`` -> ``probabilities[N, 1001]``."""

    outputs = ("probabilities",)

    def __init__(self, settings: HandlerSettings) -> None:
        self._labels = imagenet_labels(settings.imagenet_labels_file)

    def inputs(self, jpegs: Sequence[bytes]) -> Inputs:
        """The JPEGs as they are: the model decodes them."""
        return {"image_bytes": jpegs}

    def read(self, outputs: Outputs, count: int) -> list[tuple[str, float]]:
        """The most probable class of each picture."""
        probabilities = outputs.get("probabilities")
        if probabilities is None or probabilities.shape != (count, CLASSES):
            shape = None if probabilities is None else probabilities.shape
            raise BadAnswer(f"probabilities have the shape {shape}, expected {(count, CLASSES)}")
        best = probabilities.argmax(axis=1)
        chances = probabilities[np.arange(count), best]
        if not np.isfinite(chances).all():
            raise BadAnswer("probabilities are not finite")
        return [(self._labels[i], float(p)) for i, p in zip(best, chances, strict=True)]
