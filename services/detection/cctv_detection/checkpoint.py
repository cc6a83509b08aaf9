"""What the query remembers of how far it is."""

from __future__ import annotations

from pathlib import Path


def mend(folder: Path) -> list[str]:
    """Remove what was being written when a machine lost its power; returns what it was.

    Spark does not have its files written through to the disk: the newest may be there without their content, and the
    query would fail at each start. Without them, its last batches are done again.
    """
    removed: list[Path] = []
    for begun, ended in ((folder / "offsets", folder / "commits"), (folder / "commits", folder / "commits")):
        cut = [number for number, path in _numbered(begun).items() if not path.stat().st_size]
        for place in dict.fromkeys((begun, ended)):
            removed += [path for number, path in _numbered(place).items() if cut and number >= min(cut)]
    removed += [
        path
        for path in (folder / "metadata", folder / "sources" / "0" / "0")
        if path.is_file() and not path.stat().st_size
    ]
    for path in removed:
        path.unlink(missing_ok=True)
        path.with_name(f".{path.name}.crc").unlink(missing_ok=True)
    return sorted({str(path.relative_to(folder)) for path in removed})


def _numbered(folder: Path) -> dict[int, Path]:
    return {int(path.name): path for path in folder.glob("*") if path.name.isdigit()}
