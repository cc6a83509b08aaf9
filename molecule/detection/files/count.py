"""Counts the frames that were selected, and what became of each: `count.py ELASTICSEARCH DATA EVERY`.

Ends with 1 unless each is, exactly once, a document in Elasticsearch and a picture in the store, and at least once in
the topic of detections. EVERY: JSON, camera -> every how manyth of its frames is selected. Kafka is that of the
services' own environment.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path

import requests
from cctv_common.frames import Frame
from cctv_common.kafka import client_config
from cctv_common.settings import KafkaSettings, load
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

PATIENCE_S = 180
KAFKA = load(KafkaSettings)


def records(topic: str) -> list[tuple[bytes, list[tuple[str, bytes]]]]:
    """What a topic holds now."""
    consumer = Consumer(client_config(KAFKA, "count") | {"group.id": "count", "enable.partition.eof": True})
    try:
        partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
        found, ended = [], set()
        while len(ended) < len(partitions):
            message = consumer.poll(20)
            if message is None:
                raise SystemExit(f"{topic} does not answer")
            if message.error() is None:
                found.append((message.value(), message.headers() or []))
            elif message.error().code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
        return found
    finally:
        consumer.close()


def selected(every: dict[str, int]) -> set[str]:
    """The ids of selected frames of videocam."""
    frames = [
        Frame.from_record(value, headers, max_bytes=KAFKA.kafka_max_frame_bytes)
        for value, headers in records(KAFKA.kafka_videocam_topic)
    ]
    return {frame.id for frame in frames if frame.frame % every[frame.camera] == 0}


def searchable(url: str) -> Counter[str]:
    """How often each id is found."""
    found: Counter[str] = Counter()
    after = None
    while True:
        body = {"size": 1000, "sort": ["id"], "_source": False, "docvalue_fields": ["id"]}
        said = requests.post(
            f"{url}/detections/_search", json=body | ({"search_after": after} if after else {}), timeout=20
        )
        said.raise_for_status()
        hits = said.json()["hits"]["hits"]
        if not hits:
            return found
        found.update(hit["fields"]["id"][0] for hit in hits)
        after = hits[-1]["sort"]


def main() -> None:
    """Wait until all has arrived; print the counts."""
    url, data, every = sys.argv[1:]
    wanted = selected(json.loads(every))
    store = next(Path(data).glob("**/image-store"))  # the claim's folder
    end = time.monotonic() + PATIENCE_S
    while True:
        detections = Counter(json.loads(value)["id"] for value, __ in records("detections"))
        documents = searchable(url)
        pictures = Counter(path.stem for path in store.glob("*/*/*/*.jpg"))
        # The query began while frames came in already.
        begun: dict[str, int] = {}
        for stream, number in map(split, detections):
            begun[stream] = min(number, begun.get(stream, number))
        expected = {id_ for id_ in wanted if begun.get((at := split(id_))[0], at[1] + 1) <= at[1]}
        missing = {
            name: sorted(expected - set(found))
            for name, found in (("detections", detections), ("documents", documents), ("pictures", pictures))
        }
        if expected and not any(missing.values()):
            break
        if time.monotonic() > end:
            raise SystemExit(f"of {len(expected)} selected frames are missing: {json.dumps(missing)[:2000]}")
        time.sleep(1)
    twice = [id_ for found in (documents, pictures) for id_, count in found.items() if count > 1]
    if twice:
        raise SystemExit(f"are there more than once: {', '.join(twice[:20])}")
    delivered = sum(detections.values())
    print(f"{len(expected)} frames selected; {delivered} records of {len(detections)} detections,", end=" ")
    print(f"{len(documents)} documents, {len(pictures)} pictures")


def split(id_: str) -> tuple[str, int]:
    """The camera and epoch of an id, and its frame's number."""
    stream, __, number = id_.rpartition("-")
    return stream, int(number)


if __name__ == "__main__":
    main()
