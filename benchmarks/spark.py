"""The Spark chain on a backlog of frames, beside plain loops of the same detectors on the same frames."""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from cameras.process import sample_clip
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from detectors import built, python

from benchmarks.clips import jpegs
from benchmarks.processes import cpu_s, tree_cpu_s
from tests.integration.conftest import Kafka
from tests.integration.detection.conftest import SOURCES, Chain

ROOT = Path(__file__).resolve().parent.parent
CLIP = "bikes"
CAMERAS = 4
PARTITIONS = 4
WARM_UP = 20
"""Frames for each core before anything is measured: workers start, and load the models."""
PATIENCE_S = 300


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast, and at what cost."""

    fps: float
    cpu_s: float
    """For a frame."""
    broker_cpu_s: float = 0.0
    """The same, of the broker."""

    def row(self, *named: object) -> str:
        """As a row of a table."""
        broker = f"{1000 * self.broker_cpu_s:.1f}" if self.broker_cpu_s else ""
        return f"| {' | '.join(map(str, named))} | {self.fps:.2f} | {1000 * self.cpu_s:.1f} | {broker} |"


HEADER = "frames/s | CPU ms a frame | of the broker |"


def loops(count: int, processes: int) -> Rate:
    """``count`` frames by plain loops side by side."""
    share = count // processes
    command = [python(), "-m", "benchmarks.detection_loop", built(), sample_clip(CLIP), str(share)]
    env = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{SOURCES}"}
    running = [
        subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for __ in range(processes)
    ]
    for loop in running:
        assert loop.stdout is not None
        if loop.stdout.readline() != "ready\n":
            raise SystemExit("a plain loop does not start")
    for loop in running:
        assert loop.stdin is not None
        loop.stdin.write("go\n")
        loop.stdin.flush()
    said = [json.loads(loop.communicate()[0]) for loop in running]
    seconds = max(one["ended"] for one in said) - min(one["began"] for one in said)
    done = share * processes
    return Rate(done / seconds, sum(one["cpu_s"] for one in said) / done)


def chain(kafka: Kafka, count: int, cores: int) -> Rate:
    """``count`` frames by Spark on ``cores``, from the first record of detections to the last."""
    name = uuid.uuid4().hex[:8]
    topics = {
        "KAFKA_VIDEOCAM_TOPIC": f"videocam-{name}",
        "KAFKA_DETECTIONS_TOPIC": f"detections-{name}",
        "KAFKA_DETECTION_IMAGES_TOPIC": f"images-{name}",
    }
    for topic in topics.values():
        kafka.create_topic(topic, PARTITIONS)
    client = {"bootstrap.servers": kafka.bootstrap_servers}
    with tempfile.TemporaryDirectory(prefix="cctv-spark-", ignore_cleanup_errors=True) as folder:
        spark = Chain(
            python(),
            Path(folder),
            client,
            {
                "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
                "SPARK_MASTER": f"local[{cores}]",
                "DETECTION_EVERY": "1",
                "DETECTION_STARTING_OFFSETS": "earliest",
                # As the role has it.
                "DETECTION_MAX_RECORDS": "500",
                **topics,
            },
        )
        reader = Consumer(client | {"group.id": name, "log_level": 0})
        try:
            reader.assign([TopicPartition(spark.detections, n, OFFSET_BEGINNING) for n in range(PARTITIONS)])
            spark.start()
            numbered = enumerate(itertools.cycle(jpegs(sample_clip(CLIP))))
            warm_up = WARM_UP * cores
            for number, jpeg in itertools.islice(numbered, warm_up):
                spark.send(f"bench-{number % CAMERAS}", number, jpeg)
            _arrive(reader, warm_up)
            for number, jpeg in itertools.islice(numbered, count):
                spark.send(f"bench-{number % CAMERAS}", number, jpeg)
            spark.flush()
            _arrive(reader, 1)
            before = time.monotonic(), tree_cpu_s(spark.service.pid), cpu_s(kafka.broker.pid)
            _arrive(reader, count - 1)
            after = time.monotonic(), tree_cpu_s(spark.service.pid), cpu_s(kafka.broker.pid)
        finally:
            reader.close()
            spark.close()
    for deleted in kafka.admin.delete_topics(list(topics.values())).values():
        deleted.result(30)
    seconds, used, broker = ((now - then) / (count - 1) for now, then in zip(after, before, strict=True))
    return Rate(1 / seconds, used, broker)


def _arrive(reader: Consumer, count: int) -> None:
    """Return when so many more detections have come."""
    deadline = time.monotonic() + PATIENCE_S
    while count:
        message = reader.poll(1)
        if message is not None and message.error() is None:
            count -= 1
        elif time.monotonic() > deadline:
            raise SystemExit(f"{count} detections have not come within {PATIENCE_S} s")


def against_loops(kafka: Kafka, quick: bool) -> str:
    """Two cores, and two plain loops, in turn."""
    count, rounds = (60, 1) if quick else (400, 3)
    pairs, rows = [], []
    for number in range(1, rounds + 1):
        spark, plain = chain(kafka, count, 2), loops(count, 2)
        pairs.append((spark, plain))
        rows += [spark.row(number, "Spark, local[2]"), plain.row(number, "two plain loops")]
    fps = statistics.median(spark.fps / plain.fps for spark, plain in pairs)
    cpu = statistics.median(plain.cpu_s / spark.cpu_s for spark, plain in pairs)
    return (
        f"**{fps:.2f}** (goal: at least 0.8) of the frames/s of two plain loops has Spark on two cores, and "
        f"**{cpu:.2f}** of their frames for a CPU-second; medians, rounds in turn, each of {count} frames of {CLIP}, "
        "all of which wait in videocam. A loop decodes, detects, draws and encodes by the service's own code, of "
        "pictures in its memory. Spark's time is from its first record of detections to its last, without its start; "
        "its CPU time is that of the driver, its JVM and all Python workers, and the broker's is beside it.\n\n"
        f"| round | what | {HEADER}\n|---|---|---|---|---|\n" + "\n".join(rows)
    )


def growth(kafka: Kafka, quick: bool) -> str:
    """One, two and four cores' worth of workers in one driver."""
    each = 30 if quick else 150
    rows, rates = [], {}
    for cores in (1, 2, 4):
        count = each * min(cores, os.cpu_count() or 1)
        rates[cores] = chain(kafka, count, cores), loops(count, cores)
        spark, plain = rates[cores]
        rows += [spark.row(cores, f"Spark, local[{cores}]"), plain.row(cores, "plain loops")]
    said = ", ".join(
        f"**{rates[cores][0].fps / rates[1][0].fps:.2f} times** with {cores} "
        f"(plain loops: {rates[cores][1].fps / rates[1][1].fps:.2f})"
        for cores in (2, 4)
    )
    return (
        f"Against one worker, Spark does {said}. This machine has {os.cpu_count()} cores, beyond which nothing grows; "
        f"workers are those of one driver, local[N].\n\n| workers | what | {HEADER}\n|---|---|---|---|---|\n"
        + "\n".join(rows)
    )
