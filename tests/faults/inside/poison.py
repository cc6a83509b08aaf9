"""Puts records into videocam that no producer sends; runs in a pod, with the services' own library."""

from __future__ import annotations

import os
import sys
import time

from cctv_common.kafka import client_config
from cctv_common.settings import KafkaSettings, load
from confluent_kafka import Consumer, Producer

settings = load(KafkaSettings)
topic = settings.kafka_videocam_topic
HUGE = "9" * 18

# One frame of each camera, to spoil.
consumer = Consumer(client_config(settings, "poison") | {"group.id": "poison", "auto.offset.reset": "latest"})
consumer.subscribe([topic])
frames = {}
deadline = time.monotonic() + 60
while len(frames) < int(sys.argv[1]) and time.monotonic() < deadline:
    message = consumer.poll(1)
    if message is not None and message.error() is None:
        frames[message.key()] = message
consumer.close()

producer = Producer(client_config(settings, "poison"))
sent = 0
for key, frame in frames.items():
    headers = dict(frame.headers())
    following = headers | {"frame": str(int(headers["frame"]) + 1).encode()}
    for value, said in (
        (os.urandom(50_000), headers),
        (b"", headers),
        (None, headers),
        (frame.value()[: len(frame.value()) // 2], following),
        (frame.value()[: len(frame.value()) // 2], following | {"epoch": HUGE.encode()}),
        (frame.value(), {}),
        (frame.value(), headers | {"camera": b"\xff" * 10_000}),
        (frame.value(), headers | {"camera": b"../../etc"}),
        (frame.value(), following | {"captured_at": b"-1"}),
        (frame.value(), following | {"captured_at": HUGE.encode()}),
        (frame.value(), following | {"width": HUGE.encode(), "height": HUGE.encode()}),
        (frame.value(), following | {"predictions": b"[" * 10_000}),
        (frame.value(), headers | {"epoch": b"NaN", "frame": b"1e308"}),
    ):
        producer.produce(topic, value, key, headers=list(said.items()), partition=frame.partition())
        sent += 1
producer.flush(30)
print(sent, "records for", len(frames), "cameras")
sys.exit(len(producer) or len(frames) < int(sys.argv[1]))
