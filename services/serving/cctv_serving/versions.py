"""Finds the versions of a model to serve in its folder, without TensorFlow, so that a wrong folder is told at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from tensorflow_serving.config import file_system_storage_path_source_pb2

Policy: TypeAlias = file_system_storage_path_source_pb2.FileSystemStoragePathSourceConfig.ServableVersionPolicy


class NoModel(Exception):
    """Why there is nothing to serve, in one line."""


@dataclass(frozen=True)
class Version:
    """One version of a model: its number, and the folder that holds the SavedModel."""

    number: int
    folder: Path

    def is_there(self) -> bool:
        """Whether the folder holds a SavedModel; one that is being copied does not yet, as a rule."""
        return any((self.folder / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt"))


def chosen(base_path: Path, policy: Policy) -> list[Version]:
    """The versions that ``policy`` wants of those in ``base_path``, newest first; raises NoModel if it is no folder."""
    try:
        folders = {int(path.name): path for path in sorted(base_path.iterdir()) if _is_version(path)}
    except OSError as error:
        raise NoModel(f"{base_path} cannot be read: {error.strerror}; expected a folder of numeric versions") from None
    numbers = sorted(folders, reverse=True)
    match policy.WhichOneof("policy_choice"):
        case "all":
            pass
        case "specific":
            numbers = [number for number in numbers if number in policy.specific.versions]
        case _:
            numbers = numbers[: max(policy.latest.num_versions, 1)]
    return [Version(number, folders[number]) for number in numbers]


def check(base_path: Path, policy: Policy) -> None:
    """Raise NoModel unless there is something to serve, and all of it looks like a SavedModel."""
    versions = chosen(base_path, policy)
    if not versions:
        wanted = ", ".join(str(number) for number in sorted(policy.specific.versions))
        raise NoModel(
            f"No versions of servable found under base path {base_path}: "
            f"expected a folder named by a number{f' ({wanted})' if wanted else ''}, with a saved_model.pb in it"
        )
    for version in versions:
        if not version.is_there():
            raise NoModel(f"{version.folder} holds no SavedModel: expected a saved_model.pb in it")


def _is_version(path: Path) -> bool:
    return path.name.isdecimal() and int(path.name) < 2**63 and path.is_dir()
