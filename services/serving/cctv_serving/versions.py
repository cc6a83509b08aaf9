"""Finds the SavedModel to serve in a model's folder, without TensorFlow, so that a wrong folder is told at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class NoModel(Exception):
    """Why there is nothing to serve, in one line."""


@dataclass(frozen=True)
class Version:
    """One version of a model: its number, and the folder that holds the SavedModel."""

    number: int
    folder: Path


def newest(base_path: Path) -> Version:
    """The version with the highest number among the folders of ``base_path``; raises NoModel when it is none."""
    try:
        folders = {int(path.name): path for path in base_path.iterdir() if path.name.isdecimal() and path.is_dir()}
    except OSError as error:
        raise NoModel(f"{base_path} cannot be read: {error.strerror}; expected a folder of numeric versions") from None
    if not folders:
        raise NoModel(
            f"No versions of servable found under base path {base_path}: "
            "expected a folder named by a number, with a saved_model.pb in it"
        )
    number = max(folders)
    if not any((folders[number] / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt")):
        raise NoModel(f"{folders[number]} holds no SavedModel: expected a saved_model.pb in it")
    return Version(number, folders[number])
