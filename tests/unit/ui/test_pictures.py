from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest
from cctv_common.images import MARKER, image_path
from cctv_ui import pictures
from cctv_ui.pictures import Away, Pictures

PATH = image_path("gate", 1_780_300_000_000, 7, 1_780_304_400_000)
JPEG = b"\xff\xd8 a picture \xff\xd9"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    (folder / PATH).parent.mkdir(parents=True)
    (folder / MARKER).touch()
    (folder / PATH).write_bytes(JPEG)
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (folder / "secret.jpg").write_bytes(b"secret")
    return folder


async def content(store: Path, path: str) -> bytes | None:
    picture = await Pictures(store).read(path)
    return picture and picture.content


async def test_a_picture_is_read(store: Path) -> None:
    assert await content(store, PATH) == JPEG


async def test_a_reader_who_has_it_gets_no_content(store: Path) -> None:
    reader = Pictures(store)
    first = await reader.read(PATH)
    assert first
    again = await reader.read(PATH, lambda etag: etag == first.etag)
    assert again and again.content is None and again.etag == first.etag
    (store / PATH).write_bytes(JPEG + b"other")
    other = await reader.read(PATH, lambda etag: etag == first.etag)
    assert other and other.content == JPEG + b"other"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "secret.jpg",
        "../secret.jpg",
        f"../store/{PATH}",
        f"/{PATH}",
        f"./{PATH}",
        f"{PATH}/",
        f"{PATH}\n",
        f"{PATH}\0",
        PATH.replace("/", "//", 1),
        PATH.replace("gate/", "gate/../gate/"),
        PATH.replace("gate/", "..%2f"),
        PATH.replace("gate", ".."),
        PATH.replace("gate", "GATE"),
        PATH.replace("gate/", "yard/"),
        PATH.replace(".jpg", ".png"),
        PATH.replace("-7.", "-٧."),
        MARKER,
        "/etc/passwd",
    ],
)
async def test_no_other_path_is_looked_at(store: Path, path: str) -> None:
    assert await content(store, path) is None


@pytest.mark.parametrize("depth", range(4))
async def test_no_link_is_followed(store: Path, tmp_path: Path, depth: int) -> None:
    """Whichever part of the path is a link: the camera's folder, the day's, the hour's, or the picture."""
    parts = PATH.split("/")
    inside = store.joinpath(*parts[: depth + 1])
    outside = tmp_path / "outside"
    inside.rename(outside)
    inside.symlink_to(outside)
    assert (store / PATH).read_bytes() == JPEG
    assert await content(store, PATH) is None


@pytest.mark.parametrize("kind", ["nothing", "a folder", "a pipe", "a file for its folder"])
async def test_what_is_no_picture_is_none(store: Path, kind: str) -> None:
    (store / PATH).unlink()
    if kind == "a folder":
        (store / PATH).mkdir()
    elif kind == "a pipe":
        os.mkfifo(store / PATH)
    elif kind == "a file for its folder":
        (store / PATH).parent.rmdir()
        (store / PATH).parent.touch()
    assert await content(store, PATH) is None


async def test_the_folder_on_which_nothing_is_mounted_is_no_store(store: Path) -> None:
    await Pictures(store).check()
    (store / MARKER).unlink()
    with pytest.raises(Away, match=MARKER):
        await Pictures(store).check()
    store.rename(store.with_name("gone"))
    for asked in (Pictures(store).check(), Pictures(store).read(PATH)):
        with pytest.raises(Away, match="No such file"):
            await asked


async def test_a_store_that_hangs_is_away_and_holds_up_nobody(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network file system without its server: system calls do not return."""
    served = threading.Event()
    entered = []

    def hang(path: Path) -> int:
        entered.append(path)
        served.wait()
        return really(path)

    really = pictures._open_folder
    monkeypatch.setattr(pictures, "_open_folder", hang)
    reader = Pictures(store, timeout_s=0.2, threads=2)
    try:
        answers = await asyncio.gather(*(reader.read(PATH) for __ in range(20)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [Away] * 20
        # The 18 that could not begin are forgotten, not kept for later.
        assert len(entered) == 2
    finally:
        served.set()
    monkeypatch.setattr(pictures, "_open_folder", really)
    reader = Pictures(store)
    picture = await reader.read(PATH)
    assert picture and picture.content == JPEG
