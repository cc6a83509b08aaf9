"""Writes numbered records until SIGUSR1, then reads back all that were acknowledged; runs in a pod.

write.py TOPIC: the topic is made, with three replicas of which two have to acknowledge. The last line is JSON.
"""

from __future__ import annotations

import json
import signal
import sys
import time

from cctv_common.kafka import client_config
from cctv_common.settings import KafkaSettings, load
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

PARTITIONS = 6
settings = load(KafkaSettings)
topic = sys.argv[1]
stopped = []
signal.signal(signal.SIGUSR1, lambda number, frame: stopped.append(number))

admin = AdminClient(client_config(settings, "numbers"))
made = admin.create_topics(
    [NewTopic(topic, PARTITIONS, 3, config={"min.insync.replicas": "2", "unclean.leader.election.enable": "false"})]
)
made[topic].result(60)

acknowledged, failed = {}, []
last, longest = time.monotonic(), 0.0


def delivered(error, message):
    """Note what the brokers said of a record."""
    global last, longest
    if error is not None:
        failed.append(str(error))
        return
    now = time.monotonic()
    last, longest = now, max(longest, now - last)
    acknowledged[int(message.value())] = (message.partition(), message.offset())


producer = Producer(client_config(settings, "numbers") | {"acks": "all", "message.timeout.ms": 300_000})
number = 0
print("writing", flush=True)
while not stopped:
    producer.produce(topic, str(number).encode(), on_delivery=delivered)
    number += 1
    producer.poll(0.02)
    time.sleep(0.01)
producer.flush(120)

consumer = Consumer(client_config(settings, "numbers") | {"group.id": "numbers", "enable.auto.commit": False})
ends = {}
for partition in range(PARTITIONS):
    ends[partition] = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=60)[1]
consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
read = set()
at = dict.fromkeys(ends, 0)
deadline = time.monotonic() + 120
while at != ends and time.monotonic() < deadline:
    message = consumer.poll(1)
    if message is not None and message.error() is None:
        read.add(int(message.value()))
        at[message.partition()] = message.offset() + 1
consumer.close()
admin.delete_topics([topic])[topic].result(60)
lost = sorted(set(acknowledged) - read)
print(
    json.dumps(
        {
            "written": number,
            "acknowledged": len(acknowledged),
            "refused": len(failed),
            "lost": len(lost),
            "read": len(read),
            "longest_wait_s": round(longest, 1),
        }
    )
)
