"""A picture that was written is there, whole; a store that cannot be used says why, and nothing goes elsewhere."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from cctv_archiver.ledger import Ledger
from cctv_archiver.store import TEMPORARY, Store, Unusable
from cctv_common.images import MARKER
from stores import MountedStore

from .conftest import files, image

NAMES = [f"gate/2026-06-01/{hour:02}/gate-1-{number}.jpg" for hour in (9, 10) for number in range(20)]


def test_pictures_are_there_by_their_names_and_nothing_else(store: Store, tmp_path: Path, ledger: Ledger) -> None:
    store.write([image(name) for name in NAMES])
    assert files(tmp_path) == {name: image(name).content for name in NAMES}
    assert ledger.total == 10 * len(NAMES)


def test_a_picture_that_comes_again_replaces_itself(store: Store, tmp_path: Path, ledger: Ledger) -> None:
    store.write([image(NAMES[0], 10), image(NAMES[0], 20)])
    store.write([image(NAMES[0], 30), image(NAMES[1], 5)])
    assert files(tmp_path) == {NAMES[0]: image(NAMES[0], 30).content, NAMES[1]: image(NAMES[1], 5).content}
    assert ledger.total == 35


def test_whoever_reads_meanwhile_sees_whole_pictures_only(store: Store, tmp_path: Path) -> None:
    store.write([image(NAMES[0], 1000)])
    sizes: set[int] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            sizes.add(len((tmp_path / NAMES[0]).read_bytes()))

    reader = threading.Thread(target=read)
    reader.start()
    for __ in range(100):
        store.write([image(NAMES[0], 2_000_000), image(NAMES[0], 1000)])
        store.write([image(NAMES[0], 2_000_000)])
    done.set()
    reader.join()
    assert sizes <= {1000, 2_000_000}


def test_everything_is_made_durable_before_it_is_said_to_be_there(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, str]] = []
    fsync, rename = os.fsync, os.rename

    def noted_fsync(file: int) -> None:
        done.append(("sync", os.readlink(f"/proc/self/fd/{file}")))
        fsync(file)

    def noted_rename(source: str, target: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        done.append(("rename", str(tmp_path / source)))
        rename(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "rename", noted_rename)
    store.write([image(NAMES[0]), image(NAMES[-1])])
    for name in (NAMES[0], NAMES[-1]):
        new = tmp_path / name
        new = str(new.with_name(TEMPORARY + new.name))
        assert done.index(("sync", new)) < done.index(("rename", new)) < done.index(("sync", os.path.dirname(new)))
    # Folders that are new are in those above, up to the store itself.
    for above in (tmp_path, tmp_path / "gate", tmp_path / "gate/2026-06-01"):
        assert ("sync", str(above)) in done
    done.clear()
    store.write([image(NAMES[1])])
    assert [what for what, __ in done] == ["sync", "rename", "sync"]


def test_what_a_kill_left_is_removed_and_pictures_are_kept(tmp_path: Path, store: Store) -> None:
    store.write([image(name) for name in NAMES])
    hour = (tmp_path / NAMES[0]).parent
    (hour / f"{TEMPORARY}gate-1-99.jpg").write_bytes(b"half")
    ledger = Ledger()
    restarted = Store(tmp_path, ledger)
    for folder in restarted.folders():
        restarted.measure(folder)
    assert files(tmp_path).keys() == set(NAMES)
    assert ledger.total == 10 * len(NAMES)


def test_what_is_not_the_store_s_own_is_left_alone(store: Store, tmp_path: Path) -> None:
    for name in ("lost+found/x", "gate/notes/x", "gate/2026-06-01/24/x", ".snapshot/2026-06-01/10/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("mine")
    store.write([image(NAMES[0])])
    assert list(store.folders()) == ["gate/2026-06-01/09"]


def test_removing_an_hour_leaves_no_empty_folders(store: Store, tmp_path: Path, ledger: Ledger) -> None:
    store.write([image(name) for name in NAMES])
    assert store.remove("gate/2026-06-01/09")
    assert files(tmp_path).keys() == {name for name in NAMES if "/10/" in name}
    assert store.remove("gate/2026-06-01/10")
    assert os.listdir(tmp_path) == [MARKER]
    assert ledger.total == 0
    store.write([image(NAMES[0])])
    assert files(tmp_path).keys() == {NAMES[0]}


def test_an_hour_with_something_strange_in_it_loses_its_pictures_and_stays(store: Store, tmp_path: Path) -> None:
    store.write([image(name) for name in NAMES])
    (tmp_path / "gate/2026-06-01/09/notes").mkdir()
    assert not store.remove("gate/2026-06-01/09")
    assert files(tmp_path).keys() == {name for name in NAMES if "/10/" in name}
    (tmp_path / "gate/2026-06-01/09/notes").rmdir()
    assert store.remove("gate/2026-06-01/09")
    assert not (tmp_path / "gate/2026-06-01/09").exists()


def refusal(store: Store) -> Unusable:
    with pytest.raises(Unusable) as caught:
        store.write([image(name, 20_000) for name in NAMES])
    return caught.value


def test_a_full_store_keeps_what_it_has_and_goes_on_once_there_is_room(
    mounted: Callable[[str], MountedStore], ledger: Ledger
) -> None:
    there = mounted("256k")
    store = Store(there.path, ledger)
    store.found()
    store.write([image(NAMES[0], 20_000)])
    assert refusal(store).reason == "full"
    assert files(there.path)[NAMES[0]] == image(NAMES[0], 20_000).content
    there.resize("4m")
    store.write([image(name, 20_000) for name in NAMES])
    assert files(there.path) == {name: image(name, 20_000).content for name in NAMES}
    assert ledger.total == 20_000 * len(NAMES)


def test_a_read_only_store_is_seen_before_and_while_it_is_written(
    mounted: Callable[[str], MountedStore], ledger: Ledger
) -> None:
    there = mounted("4m")
    store = Store(there.path, ledger)
    store.found()
    store.look()
    there.set_read_only(True)
    with pytest.raises(Unusable) as caught:
        store.look()
    assert caught.value.reason == "read_only"
    assert refusal(store).reason == "read_only"
    there.set_read_only(False)
    store.look()
    store.write([image(name) for name in NAMES])
    assert files(there.path).keys() == set(NAMES)


def test_nothing_is_written_to_the_folder_below_a_store_that_is_not_mounted(
    mounted: Callable[[str], MountedStore], ledger: Ledger
) -> None:
    there = mounted("4m")
    store = Store(there.path, ledger)
    store.found()
    store.write([image(NAMES[0])])
    there.unmount()
    told = refusal(store)
    assert told.reason == "absent"
    assert MARKER in str(told)
    assert os.listdir(there.path) == []
    there.mount()
    store.write([image(NAMES[1])])
    assert files(there.path).keys() == set(NAMES[:2])


def test_a_store_whose_folder_is_no_folder_or_gone_is_absent(tmp_path: Path, ledger: Ledger) -> None:
    (tmp_path / "file").touch()
    for name in ("file", "gone"):
        with pytest.raises(Unusable) as caught:
            Store(tmp_path / name, ledger).found()
        assert caught.value.reason == "absent"
        assert name in str(caught.value)


def test_a_folder_where_a_picture_should_be_is_told_by_its_name(store: Store, tmp_path: Path) -> None:
    (tmp_path / NAMES[0] / "x").mkdir(parents=True)
    with pytest.raises(Unusable) as caught:
        store.write([image(NAMES[0])])
    assert caught.value.reason == "failing"
    assert os.strerror(errno.EISDIR) in str(caught.value)
    assert os.path.basename(NAMES[0]) in str(caught.value)


def test_a_link_leads_no_picture_out_of_the_store(
    store: Store, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "file"
    outside.write_text("mine")
    (tmp_path / NAMES[0]).parent.mkdir(parents=True)
    new = (tmp_path / NAMES[0]).with_name(TEMPORARY + os.path.basename(NAMES[0]))
    new.symlink_to(outside)
    with pytest.raises(Unusable):
        store.write([image(NAMES[0])])
    assert outside.read_text() == "mine"
