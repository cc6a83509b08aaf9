"""How old a frame is when its detection can be read from Kafka, and when a search finds it, in the whole pipeline."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import orjson
from confluent_kafka import OFFSET_END, Consumer, TopicPartition
from elasticsearch import Elasticsearch

from benchmarks.pipeline import PORTS, Pipeline
from benchmarks.viewer import percentile

SETTLE_S = 20
LOOK_S = 0.05
LAST_S = 10
"""For what was captured last to be found."""


@dataclass(slots=True)
class Seen:
    """When a frame was where, in ms since 1970 on the clock of this machine."""

    captured_at: int
    detected_at: int
    delivered_at: float
    found_at: float = 0.0


class Watch(threading.Thread):
    """Reads detections as they come, and looks whether they are found."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._ended = threading.Event()
        self.seen: dict[str, Seen] = {}
        self.reader = Consumer({"bootstrap.servers": f"127.0.0.1:{PORTS['kafka_port']}", "group.id": "bench"})
        partitions = self.reader.list_topics("detections", timeout=20).topics["detections"].partitions
        self.reader.assign([TopicPartition("detections", number, OFFSET_END) for number in partitions])
        self.search = Elasticsearch(f"http://127.0.0.1:{PORTS['elasticsearch_port']}")

    def run(self) -> None:
        """Read until told to stop."""
        while not self._ended.is_set():
            message = self.reader.poll(0.1)
            if message is not None and message.error() is None:
                now = time.time() * 1000
                said = orjson.loads(message.value())
                self.seen.setdefault(said["id"], Seen(said["captured_at"], said["detected_at"], now))
        self.reader.close()

    def look(self) -> None:
        """Ask once for all that was not found yet."""
        missing = [name for name, seen in list(self.seen.items()) if not seen.found_at]
        if missing:
            body = {"size": len(missing), "query": {"ids": {"values": missing}}, "_source": False}
            hits = self.search.search(index="detections", body=body)["hits"]["hits"]
            now = time.time() * 1000
            for hit in hits:
                self.seen[hit["_id"]].found_at = now

    def stop(self) -> None:
        """End reading."""
        self._ended.set()
        self.join()


def latency(pipeline: Pipeline, quick: bool) -> str:
    """Two cameras, of each of which two frames a second are looked at."""
    seconds = 30 if quick else 180
    cameras = [
        {"id": f"bench-{number}", "url": "sample:bikes", "fps": 10, "detection_frame_rate": 2} for number in range(2)
    ]
    pipeline.up(cameras, detection_enabled=True)
    time.sleep(SETTLE_S)
    watch = Watch()
    watch.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        watch.look()
        time.sleep(LOOK_S)
    seen = dict(watch.seen)
    while not all(one.found_at for one in seen.values()) and time.monotonic() < end + LAST_S:
        watch.look()
        time.sleep(LOOK_S)
    watch.stop()
    lost = sum(not one.found_at for one in seen.values())
    stages = {
        "to the worker's answer": [one.detected_at - one.captured_at for one in seen.values()],
        "to `detections`": [one.delivered_at - one.captured_at for one in seen.values()],
        "to the search": [one.found_at - one.captured_at for one in seen.values() if one.found_at],
    }
    rows = "\n".join(
        f"| {stage} | {' | '.join(f'{percentile(ages, part):.0f}' for part in (0.5, 0.95, 0.99))} | {max(ages):.0f} |"
        for stage, ages in stages.items()
    )
    detections, found = (percentile(stages[stage], 0.95) for stage in ("to `detections`", "to the search"))
    return (
        f"From capture to a reader of `detections` **p95 {detections:.0f} ms** (goal: at most 1500), to a search that "
        f"finds it p95 {found:.0f} ms. {len(seen)} frames in {seconds} s, 2 cameras at 2/s each (of 10/s, all of which "
        f"the rest of the pipeline classifies and shows meanwhile), all on this machine; {lost} not found within "
        f"{LAST_S} s. The index is refreshed each second, and was asked every {1000 * LOOK_S:.0f} ms.\n\n"
        f"| from capture | p50, ms | p95, ms | p99, ms | oldest, ms |\n|---|---|---|---|---|\n{rows}"
    )
