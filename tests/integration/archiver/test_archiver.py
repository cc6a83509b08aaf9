"""Every picture that is sent is in the store once and whole, whatever breaks meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cctv_archiver.store import TEMPORARY
from cctv_common.frames import Frame
from cctv_common.images import MARKER
from waiting import until

from tests.integration.archiver.conftest import AT, EPOCH, Site

SOME = 400


def test_pictures_are_there_once_and_never_read_again(site: Site) -> None:
    site.send(SOME)
    site.archiver.start()
    site.wait_archived()
    until("ready archiver", site.archiver.ready)
    written = 'cctv_frames_out_total{camera="gate",stage="archiver"}'
    # A picture is there a moment before it is counted.
    until("count of all", lambda: site.archiver.metric(written) >= SOME)
    assert site.archiver.metric(written) == SOME, "each was written once"
    assert site.archiver.metric("cctv_archiver_bytes_written_total") == sum(map(len, site.sent.values()))
    until("end of the lag", lambda: site.archiver.metric("cctv_kafka_lag_records") == 0)
    assert site.archiver.terminate() == 0
    assert site.committed() == SOME
    site.archiver.start()
    until("ready archiver", site.archiver.ready)
    site.send(1)
    site.wait_archived()
    until("count", lambda: site.archiver.metric(written) == 1)


def test_kills_lose_nothing_and_double_nothing(site: Site) -> None:
    site.archiver.start()
    until("ready archiver", site.archiver.ready)
    for part in range(1, 4):
        site.send(SOME)
        until("some of the pictures", lambda least=(part - 1) * SOME: len(site.files()) > least)
        site.archiver.kill()
        assert site.committed() <= len(site.files())
        site.archiver.start()
    site.wait_archived()
    until("end of what the kills left", lambda: not site.unfinished())


def test_what_is_committed_is_in_the_store_when_it_is_stopped_at_work(site: Site) -> None:
    site.send(SOME)
    site.archiver.start()
    until("first pictures", site.files)
    assert site.archiver.terminate() == 0
    assert site.committed() <= len(site.files())
    site.archiver.start()
    site.wait_archived()


def test_a_broker_that_dies_loses_nothing(site: Site) -> None:
    site.archiver.start()
    until("ready archiver", site.archiver.ready)
    site.send(SOME)
    site.kafka.kill()
    until("word of it", lambda: site.archiver.unmet("kafka"))
    site.kafka.start()
    site.send(SOME)
    site.wait_archived()
    until("ready archiver", site.archiver.ready)


def broken(site: Site, reason: str) -> None:
    """Send pictures to a store that cannot take them, and see that the archiver waits and says so."""
    before = site.files()
    site.send(SOME)
    until("word of it", lambda: site.archiver.metric(f'cctv_archiver_store_unusable{{reason="{reason}"}}') == 1)
    assert str(site.store.path) in site.archiver.unmet("store")
    assert site.archiver.get("/healthz")[0] == 200
    assert [event["reason"] for event in site.archiver.events("waiting for the image store")][-1] == reason
    assert site.committed() <= len(before) + len(site.files().keys() - before.keys())


@pytest.mark.parametrize("reason", ["read_only", "absent", "full"])
def test_a_store_that_cannot_be_used_is_waited_for(site: Site, reason: str) -> None:
    harm: dict[str, Callable[[], None]] = {
        "read_only": lambda: site.store.set_read_only(True),
        "absent": site.store.unmount,
        "full": lambda: site.store.resize("512k"),
    }
    repair: dict[str, Callable[[], None]] = {
        "read_only": lambda: site.store.set_read_only(False),
        "absent": site.store.mount,
        "full": lambda: site.store.resize("64m"),
    }
    site.archiver.start()
    until("ready archiver", site.archiver.ready)
    site.send(20)
    site.wait_archived()
    harm[reason]()
    broken(site, reason)
    if reason == "absent":
        assert os.listdir(site.store.path) == [], "nothing goes to the folder below the mount"
    repair[reason]()
    site.wait_archived()
    until("ready archiver", site.archiver.ready)
    assert len(site.archiver.events("waiting for the image store")) == 1, "said once"
    assert len(site.archiver.events("partitions assigned")) == 1, "it stayed in its group"
    until("commit of all", lambda: site.committed() == len(site.sent))


def test_a_store_that_is_away_at_the_start_is_not_taken_for_a_new_one(site: Site) -> None:
    site.archiver.start()
    site.send(SOME)
    site.wait_archived()
    assert site.archiver.terminate() == 0
    site.store.unmount()
    site.archiver.start()
    broken(site, "absent")
    assert os.listdir(site.store.path) == []
    assert MARKER in site.archiver.unmet("store")
    site.store.mount()
    site.wait_archived()


def test_a_store_that_hangs_does_not_hang_the_archiver(site: Site) -> None:
    site.archiver.start()
    site.send(1)
    site.wait_archived()
    (name,) = site.sent
    folder = site.store.disk / Path(name).parent
    # Frames 3 and 0 are of one hour. Opening a pipe that nobody reads hangs, as a file of a server that is away does.
    pipe = folder / f"{TEMPORARY}gate-{EPOCH}-3.jpg"
    os.mkfifo(pipe)
    site.send(9)
    until("word of it", lambda: "not answered" in site.archiver.unmet("store"))
    assert site.archiver.get("/healthz")[0] == 200
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    pipe.unlink()
    site.wait_archived()
    os.close(reader)
    until("ready archiver", site.archiver.ready)
    assert len(site.archiver.events("partitions assigned")) == 1


def test_a_hanging_store_does_not_keep_it_from_ending(site: Site) -> None:
    site.archiver.start()
    site.send(1)
    site.wait_archived()
    (name,) = site.sent
    os.mkfifo(site.store.disk / Path(name).parent / f"{TEMPORARY}gate-{EPOCH}-3.jpg")
    site.send(9)
    until("word of it", lambda: "not answered" in site.archiver.unmet("store"))
    assert site.archiver.terminate() == 0


def test_bad_records_stop_nothing(site: Site) -> None:
    hostile = Frame("../../etc", EPOCH, 0, AT, 64, 48, b"")
    for partition in range(4):
        site.send_raw(b"no picture", hostile.headers(), partition)
        site.send_raw(None, None, partition)
    site.flush()
    site.archiver.start()
    site.send(20)
    site.wait_archived()
    until("commit of all", lambda: site.committed() == 20 + 8)
    assert site.archiver.metric('cctv_frames_dropped_total{camera="",cause="bad_header",stage="archiver"}') == 4
    assert site.archiver.metric('cctv_frames_dropped_total{camera="",cause="not_jpeg",stage="archiver"}') == 4
    assert len(site.archiver.events("bad record")) == 2, "said once for each cause"


def test_old_hours_are_removed_while_new_pictures_come(site_of: Callable[..., Site]) -> None:
    site = site_of(ARCHIVER_RETENTION_HOURS="1", ARCHIVER_CHECK_INTERVAL_MS="100")
    site.archiver.start()
    site.send(30)  # of hours that are long over
    until("pictures", lambda: site.archiver.metric('cctv_frames_out_total{camera="gate",stage="archiver"}') == 30)
    until("an empty store", lambda: os.listdir(site.store.disk) == [MARKER])
    assert site.archiver.metric('cctv_archiver_hours_removed_total{cause="age"}') >= 3
    assert site.archiver.metric("cctv_archiver_store_bytes") == 0
