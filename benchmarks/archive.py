"""The archiver on a backlog of pictures, beside cp of the very same files on the same disk."""

from __future__ import annotations

import itertools
import shutil
import statistics
import subprocess
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from cameras.process import sample_clip
from cctv_common.frames import Frame
from cctv_common.jpeg import dimensions
from confluent_kafka import Producer

from benchmarks.clips import jpegs
from tests.integration.archiver.conftest import Archiver
from tests.integration.conftest import Kafka

CLIPS = ("bikes", "bigbuckbunny")
CAMERAS, HOURS, PARTITIONS = 4, 3, 4
AT = 1_780_310_096_789
PATIENCE_S = 300


@dataclass(frozen=True, slots=True)
class Turn:
    """Bytes a second of one round."""

    archiver: float
    cp: float
    synced: float
    """cp, with a sync of the file system after it."""


def publish(kafka: Kafka, topic: str, pictures: list[bytes], count: int) -> int:
    """Fill a topic; returns how many bytes of pictures are in it."""
    kafka.create_topic(topic, PARTITIONS)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "acks": "all", "linger.ms": 20})
    size = 0
    for number, jpeg in enumerate(itertools.islice(itertools.cycle(pictures), count)):
        camera = f"bench-{number % CAMERAS}"
        frame = Frame(camera, AT, number, AT + number * HOURS * 3_600_000 // count, *dimensions(jpeg), jpeg)
        producer.produce(topic, jpeg, key=camera, headers=frame.headers(), partition=number % PARTITIONS)
        producer.poll(0)
        size += len(jpeg)
        if len(producer) > 500:
            producer.flush()
    producer.flush()
    return size


def archive(kafka: Kafka, topic: str, folder: Path, size: int) -> float:
    """Seconds from the first picture's content to the last one's name, by the file system's own clock."""
    store = folder / "store"
    store.mkdir()
    archiver = Archiver(kafka, topic, store, folder / "archiver.log")
    archiver.start()
    try:
        deadline = time.monotonic() + PATIENCE_S
        while archiver.metric("cctv_archiver_bytes_written_total") < size:
            if time.monotonic() > deadline:
                raise SystemExit(f"the archiver has not written all within {PATIENCE_S} s: {folder / 'archiver.log'}")
            time.sleep(0.5)
        archiver.terminate()
    finally:
        archiver.kill()
    found = [path.stat() for path in store.glob("*/*/*/*.jpg")]
    assert sum(each.st_size for each in found) == size
    return (max(each.st_ctime_ns for each in found) - min(each.st_mtime_ns for each in found)) / 1e9


def copy(folder: Path) -> tuple[float, float]:
    """Seconds that cp takes for what the archiver has written, and with a sync after it."""
    _sync(folder)
    began = time.monotonic()
    subprocess.run(["cp", "-r", folder / "store", folder / "copy"], check=True)
    copied = time.monotonic()
    _sync(folder)
    return copied - began, time.monotonic() - began


def _sync(folder: Path) -> None:
    subprocess.run(["sync", "--file-system", folder], check=True)


def against_cp(kafka: Kafka, cache: Path, quick: bool) -> str:
    """Small and large pictures, in turn with cp."""
    count, rounds = (1000, 1) if quick else (4000, 3)
    parts, rows = [], []
    for clip in CLIPS:
        pictures = jpegs(sample_clip(clip), 100)
        turns = []
        for number in range(1, rounds + 1):
            topic, folder = f"images-{uuid.uuid4().hex[:8]}", cache / "archive"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            size = publish(kafka, topic, pictures, count)
            _sync(folder)
            took = archive(kafka, topic, folder, size)
            cp, synced = copy(folder)
            kafka.admin.delete_topics([topic])[topic].result(30)
            shutil.rmtree(folder)
            turns.append(Turn(size / took, size / cp, size / synced))
            mega = [f"{each / 1e6:.0f}" for each in (turns[-1].archiver, turns[-1].cp, turns[-1].synced)]
            rows.append(f"| {number} | {size / count / 1000:.0f} kB | {' | '.join(mega)} | {count / took:.0f} |")
        plain = statistics.median(turn.archiver / turn.cp for turn in turns)
        safe = statistics.median(turn.archiver / turn.synced for turn in turns)
        parts.append(
            f"**{plain:.2f}** of plain cp's bytes/s, and {safe:.2f} of cp's with a sync after it, for pictures of "
            f"{size / count / 1000:.0f} kB"
        )
    return (
        f"{'; '.join(parts)} (goal: at least 0.5 of plain cp); medians, rounds in turn. The archiver reads {count} "
        "pictures from a broker on this machine, and makes each of them durable (fsync of the file and of its folder) "
        "before it says so. cp copies the same tree from memory and leaves it to the system when it reaches the disk; "
        "sync waits once for all.\n\n"
        "| round | picture | archiver, MB/s | cp -r, MB/s | cp -r and sync, MB/s | archiver, pictures/s |\n"
        "|---|---|---|---|---|---|\n" + "\n".join(rows)
    )
