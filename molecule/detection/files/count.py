"""Counts the frames that were selected, and what became of each: `count.py ELASTICSEARCH DATA EVERY [SINCE]`.

Prints the counts as JSON. Ends with 1 unless each is, exactly once, a document in Elasticsearch and a picture in the
store, and at least once in the topic of detections. EVERY: JSON, camera -> every how manyth of its frames is selected.
SINCE: ms since 1970; frames that were in videocam before do not count. Kafka is that of the services' own environment.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import requests
from cctv_common.frames import Frame
from cctv_common.kafka import client_config
from cctv_common.settings import KafkaSettings, load
from confluent_kafka import Consumer, KafkaError, TopicPartition

PATIENCE_S = 180
KAFKA = load(KafkaSettings)


def records(topic: str, since: int = 0) -> Iterator[tuple[bytes, list[tuple[str, bytes]]]]:
    """What a topic holds now, of what came since."""
    consumer = Consumer(
        client_config(KAFKA, "count")
        | {
            "group.id": "count",
            "enable.partition.eof": True,
            # The pod that this runs in has little memory to spare.
            "queued.max.messages.kbytes": 8192,
        }
    )
    try:
        partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
        consumer.assign(
            consumer.offsets_for_times([TopicPartition(topic, number, since) for number in partitions], timeout=20)
        )
        ended = set()
        while len(ended) < len(partitions):
            message = consumer.poll(20)
            if message is None:
                raise SystemExit(f"{topic} does not answer")
            if message.error() is None:
                yield message.value(), message.headers() or []
            elif message.error().code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
    finally:
        consumer.close()


def selected(every: dict[str, int], since: int) -> set[str]:
    """The ids of selected frames of videocam."""
    frames = (
        Frame.from_record(value, headers, max_bytes=KAFKA.kafka_max_frame_bytes)
        for value, headers in records(KAFKA.kafka_videocam_topic, since)
    )
    return {frame.id for frame in frames if frame.frame % every[frame.camera] == 0}


def searchable(url: str) -> Counter[str]:
    """How often each id is found now."""
    found: Counter[str] = Counter()
    after = None
    while True:
        body = {"size": 1000, "sort": ["id"], "_source": False, "docvalue_fields": ["id"]}
        said = requests.post(
            f"{url}/detections/_search", json=body | ({"search_after": after} if after else {}), timeout=20
        )
        if said.status_code == requests.codes.service_unavailable:  # it has not opened all of its shards yet
            return found
        said.raise_for_status()
        hits = said.json()["hits"]["hits"]
        if not hits:
            return found
        found.update(hit["fields"]["id"][0] for hit in hits)
        after = hits[-1]["sort"]


def main() -> None:
    """Wait until all has arrived; print the counts."""
    url, data, every, *since = sys.argv[1:]
    wanted = selected(json.loads(every), int(since[0]) if since else 0)
    store = next(Path(data).glob("**/image-store"))  # the claim's folder
    end = time.monotonic() + PATIENCE_S
    while True:
        detections = Counter(json.loads(value)["id"] for value, __ in records("detections"))
        found = {
            "detections": detections,
            "documents": searchable(url),
            "pictures": Counter(path.stem for path in store.glob("*/*/*/*.jpg")),
        }
        expected = wanted if since else looked_at(wanted, detections)
        missing = {name: sorted(expected - set(there)) for name, there in found.items()}
        if (expected and not any(missing.values())) or time.monotonic() > end:
            break
        time.sleep(1)
    twice = [id_ for name in ("documents", "pictures") for id_, count in found[name].items() if count > 1]
    print(
        json.dumps(
            {"selected": len(expected), "records": sum(detections[id_] for id_ in expected)}
            | {name: len(expected & set(there)) for name, there in found.items()}
            | {"missing": {name: len(ids) for name, ids in missing.items()}, "twice": len(twice)}
        )
    )
    if not expected or any(missing.values()):
        raise SystemExit(f"of {len(expected)} selected frames are missing: {json.dumps(missing)[:2000]}")
    if twice:
        raise SystemExit(f"are there more than once: {', '.join(twice[:20])}")


def looked_at(wanted: set[str], detections: Counter[str]) -> set[str]:
    """Those that came in after the query had begun, which it did while frames came in already."""
    begun: dict[str, int] = {}
    for stream, number in map(split, detections):
        begun[stream] = min(number, begun.get(stream, number))
    return {id_ for id_ in wanted if begun.get((at := split(id_))[0], at[1] + 1) <= at[1]}


def split(id_: str) -> tuple[str, int]:
    """The camera and epoch of an id, and its frame's number."""
    stream, __, number = id_.rpartition("-")
    return stream, int(number)


if __name__ == "__main__":
    main()
