"""The UI's search page, over as many documents as a site has after a while."""

from __future__ import annotations

import http.client
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml
from cctv_common.frames import Frame
from cctv_detection import document
from cctv_detection.detection import Box, Detection
from cctv_indices.wanted import ALIAS, index_of, templates
from elasticsearch import Elasticsearch, helpers
from integration.ui.helpers import MODELS, Service

from benchmarks.viewer import percentile
from tests.integration.conftest import Elasticsearch as Node

ROOT = Path(__file__).resolve().parent.parent
DAYS = 30
"""As long as the role keeps them."""
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
CAMERAS = [f"camera-{number}" for number in range(8)]
CLASSES = {
    "person": 40,
    "car": 30,
    "bicycle": 6,
    "truck": 6,
    "bus": 5,
    "motorcycle": 4,
    "dog": 3,
    "backpack": 3,
    "cat": 2,
    "bird": 1,
}
COUNTS = {0: 30, 1: 30, 2: 20, 3: 12, 5: 8}
"""Objects of a frame."""
VARIETY = 5000
"""Frames that show something else; most of what a camera sees is like what it has seen."""
SIZE = 1280, 720
WARM_UP = 3
WRITES = 4
"""Documents a second that come while searches are asked, as of two cameras at 2/s."""


Content = tuple[list[Detection], list[Detection]]


def contents(chance: random.Random) -> list[Content]:
    """What frames show: objects and faces of many of them."""

    def seen(label: str) -> Detection:
        x, y = (chance.randrange(side - 200) for side in SIZE)
        box = Box(x, y, chance.randrange(20, 200), chance.randrange(20, 200))
        return Detection(label, chance.uniform(0.4, 0.95), box)

    found = []
    for count in chance.choices(list(COUNTS), list(COUNTS.values()), k=VARIETY):
        objects = [seen(label) for label in chance.choices(list(CLASSES), list(CLASSES.values()), k=count)]
        people = sum(found.label == "person" for found in objects)
        found.append((objects, [seen("face") for __ in range(people) if chance.random() < 0.4]))
    return found


def frame(number: int, at: int, shown: Content) -> dict[str, Any]:
    """A document as the detection service makes it."""
    made = Frame(CAMERAS[number % len(CAMERAS)], 1_700_000_000_000, number, at, *SIZE, b"")
    return document.build(made, *shown, MODELS, faces_blurred=False, detected_at=at + 500)


def actions(count: int, now: int) -> Iterator[dict[str, Any]]:
    """Documents in the order of their capture, the last of them now, for the bulk API."""
    chance = random.Random(1)
    shown = contents(chance)
    for number in range(count):
        at = now - (count - 1 - number) * DAYS * DAY_MS // count
        said = frame(number, at, chance.choice(shown))
        yield {"_index": index_of(datetime.fromtimestamp(at / 1000, UTC)), "_id": said["id"], "_source": said}


def load(client: Elasticsearch, count: int, now: int) -> None:
    """Fill the dated indices."""
    for name, template in templates().items():
        client.indices.put_index_template(name=name, body=template)
    for done in helpers.parallel_bulk(client, actions(count, now), thread_count=2, chunk_size=2000, queue_size=2):
        assert done[0], done
    client.indices.refresh(index=ALIAS)
    assert client.count(index=ALIAS)["count"] == count


def searches(now: int) -> dict[str, Callable[[random.Random], list[tuple[str, object]]]]:
    """What people look for; hardly ever twice the same."""

    def span(chance: random.Random, hours: float) -> list[tuple[str, object]]:
        start = now - chance.randrange(DAYS * DAY_MS)
        return [("from", _utc(start)), ("to", _utc(start + int(hours * HOUR_MS)))]

    def camera(chance: random.Random) -> tuple[str, object]:
        return ("camera", chance.choice(CAMERAS))

    def kind(chance: random.Random) -> tuple[str, object]:
        return ("class", chance.choice(list(CLASSES)))

    return {
        "the newest of all, with the timeline of 30 days": lambda chance: [],
        "a camera, 30 days": lambda chance: [camera(chance)],
        "a class, 30 days": lambda chance: [kind(chance)],
        "a camera, a class, six hours of any day": lambda chance: [camera(chance), kind(chance), *span(chance, 6)],
        "a camera, a person with a face, of the last hours": lambda chance: [
            camera(chance),
            ("from", _utc(now - chance.randrange(12 * HOUR_MS))),
            ("face", 1),
            ("class", "person"),
        ],
        "a face, 24 hours": lambda chance: [("last", "24h"), ("face", 1)],
        "a car with something, 7 days": lambda chance: [("last", "7d"), ("class", "car"), kind(chance)],
        "a class with a score of 0.8, any two days": lambda chance: [*span(chance, 48), ("score", 0.8), kind(chance)],
    }


def _utc(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%dT%H:%MZ}"


class Writer(threading.Thread):
    """Adds documents while searches are asked, so that what is newest changes, as it does in life."""

    def __init__(self, client: Elasticsearch, first: int) -> None:
        super().__init__(daemon=True)
        self._client, self._first = client, first
        self._ended = threading.Event()

    def run(self) -> None:
        """Write until told to stop."""
        chance = random.Random(2)
        shown = contents(chance)
        number = self._first
        while not self._ended.wait(1 / WRITES):
            at = int(time.time() * 1000)
            said = frame(number, at, chance.choice(shown))
            moment = datetime.fromtimestamp(at / 1000, UTC)
            self._client.index(index=index_of(moment), id=said["id"], document=said)
            number += 1

    def stop(self) -> None:
        """End writing."""
        self._ended.set()
        self.join()


def ask(connection: http.client.HTTPConnection, query: str) -> float:
    """Milliseconds until the page's last byte."""
    began = time.monotonic()
    connection.request("GET", f"/?{query}")
    answer = connection.getresponse()
    content = answer.read()
    took = 1000 * (time.monotonic() - began)
    if answer.status != 200:
        raise SystemExit(f"/?{query} answers {answer.status}: {content[:2000].decode()}")
    return took


def search(quick: bool) -> str:
    """Ask the page, one search after the other."""
    count, rounds = (20_000, 5) if quick else (1_000_000, 40)
    heap = yaml.safe_load((ROOT / "roles/elasticsearch/defaults/main.yml").read_text())["elasticsearch_heap"]
    with tempfile.TemporaryDirectory(prefix="cctv-search-", ignore_cleanup_errors=True) as folder:
        node = Node(Path(folder, "node"))
        node.environment["ES_HEAP_OPTS"] = f"-Xms{heap} -Xmx{heap}"
        try:
            node.start()
            client = Elasticsearch(node.url, timeout=60)
            now = int(time.time() * 1000)
            began = time.monotonic()
            load(client, count, now)
            loaded = count / (time.monotonic() - began)
            writer = Writer(client, count)
            service = Service(ELASTICSEARCH_URL=node.url, ELASTICSEARCH_ALIAS=ALIAS, IMAGE_STORE_DIR=folder)
            try:
                service.wait_ready()
                writer.start()
                times = _ask_all(service.port, now, rounds)
                writer.stop()
            finally:
                service.process.kill()
                service.process.wait()
        finally:
            node.kill()
    every = [took for each in times.values() for took in each]
    rows = "\n".join(
        f"| {name} | {percentile(took, 0.5):.0f} | {percentile(took, 0.95):.0f} | {max(took):.0f} |"
        for name, took in times.items()
    )
    return (
        f"p50 {percentile(every, 0.5):.0f} ms, **p95 {percentile(every, 0.95):.0f} ms** (goal: at most 150) until the "
        f"last byte of the search page with its timeline, over {count:,} documents of {DAYS} days and {len(CAMERAS)} "
        f"cameras, in one Elasticsearch with the role's heap of {heap}. {len(every)} searches of {len(times)} kinds, "
        f"one after the other, with other words each time, while {WRITES} documents a second are added. They were "
        f"loaded at {loaded:,.0f} documents/s.\n\n"
        f"| looked for | p50, ms | p95, ms | longest, ms |\n|---|---|---|---|\n{rows}"
    )


def _ask_all(port: int, now: int, rounds: int) -> dict[str, list[float]]:
    chance = random.Random(3)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    kinds = searches(now)
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for number in range(WARM_UP + rounds):
        # In another order each time, as what one has read another may have at hand.
        for name in chance.sample(list(kinds), len(kinds)):
            took = ask(connection, urlencode(kinds[name](chance)))
            if number >= WARM_UP:
                times[name].append(took)
    connection.close()
    return times
