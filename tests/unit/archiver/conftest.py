from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cctv_archiver.ledger import Ledger
from cctv_archiver.store import Image, Store
from stores import MountedStore

AT = 1_780_310_096_789  # 2026-06-01T10:34:56.789Z


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def store(tmp_path: Path, ledger: Ledger) -> Store:
    """A store in the folder tmp_path."""
    store = Store(tmp_path, ledger)
    store.found()
    return store


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], MountedStore]]:
    """Gives stores on a file system of their own."""
    stores: list[MountedStore] = []

    def mount(size: str) -> MountedStore:
        stores.append(MountedStore(tmp_path / str(len(stores)), size))
        return stores[-1]

    yield mount
    for made in stores:
        made.close()


def files(folder: Path) -> dict[str, bytes]:
    """All files, the marker aside."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.parent != folder
    }


def image(path: str, size: int = 10) -> Image:
    return Image(path, path.encode().ljust(size, b".")[:size])
