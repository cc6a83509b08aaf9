"""A checkpoint whose newest files have lost their content."""

from __future__ import annotations

from pathlib import Path

import pytest
from cctv_detection.checkpoint import mend


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As Spark leaves it after four batches."""
    names = ["metadata", "sources/0/0", *(f"{log}/{number}" for log in ("offsets", "commits") for number in range(4))]
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("v1")
        path.with_name(f".{path.name}.crc").write_text("crc")
    return tmp_path


def there(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_leaves_what_is_whole(folder: Path) -> None:
    before = there(folder)
    assert mend(folder) == []
    assert there(folder) == before


def test_a_batch_whose_end_is_cut_off_is_done_again(folder: Path) -> None:
    (folder / "commits" / "3").write_text("")
    assert mend(folder) == ["commits/3"]
    assert {"offsets/3", "commits/2"} <= there(folder)
    assert not {"commits/3", "commits/.3.crc"} & there(folder)


def test_a_batch_whose_begin_is_cut_off_never_was(folder: Path) -> None:
    (folder / "offsets" / "2").write_text("")
    assert mend(folder) == ["commits/2", "commits/3", "offsets/2", "offsets/3"]
    assert {"offsets/1", "commits/1"} <= there(folder)


def test_a_query_that_had_hardly_begun_begins_again(folder: Path) -> None:
    (folder / "metadata").write_text("")
    (folder / "sources" / "0" / "0").write_text("")
    assert mend(folder) == ["metadata", "sources/0/0"]


def test_a_first_start_has_nothing_to_mend(tmp_path: Path) -> None:
    assert mend(tmp_path / "none") == []
