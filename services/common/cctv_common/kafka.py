"""librdkafka's settings, shared by every client so that size limits and reconnects agree."""

from __future__ import annotations

import logging
from typing import Any

from cctv_common.settings import KafkaSettings

RECORD_OVERHEAD = 64 * 1024
"""Room for a record's key and headers beside a frame of the largest size, in bytes."""


def client_config(settings: KafkaSettings, client_id: str) -> dict[str, Any]:
    """What every client sets: where the brokers are, who it is, and quick, endless reconnects."""
    secured: dict[str, Any] = {}
    if settings.kafka_security_protocol == "SASL_SSL":
        secured = {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": settings.kafka_sasl_username,
            "sasl.password": settings.kafka_sasl_password.get_secret_value(),
        }
        if settings.kafka_ssl_ca:
            secured["ssl.ca.pem"] = settings.kafka_ssl_ca
    return secured | {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "client.id": client_id,
        "reconnect.backoff.ms": 100,
        "reconnect.backoff.max.ms": 2000,
        "topic.metadata.refresh.interval.ms": 10000,
        "socket.keepalive.enable": True,
        "broker.address.family": "v4",
        "logger": logging.getLogger("librdkafka"),
    }


def producer_config(settings: KafkaSettings, client_id: str, max_age_ms: int) -> dict[str, Any]:
    """A producer of perishable frames: sent at once, uncompressed (JPEG is), given up after ``max_age_ms``."""
    return client_config(settings, client_id) | {
        "message.max.bytes": settings.kafka_max_frame_bytes + RECORD_OVERHEAD,
        "linger.ms": 0,
        "compression.type": "none",
        "acks": 1,
        "message.timeout.ms": max_age_ms,
        "request.timeout.ms": min(max_age_ms, 5000),
        "queue.buffering.max.kbytes": 4 * (settings.kafka_max_frame_bytes + RECORD_OVERHEAD) // 1024,
    }


def consumer_config(settings: KafkaSettings, client_id: str, group: str) -> dict[str, Any]:
    """A consumer of perishable frames: the newest first, fetched as soon as there is one."""
    largest = settings.kafka_max_frame_bytes + RECORD_OVERHEAD
    return client_config(settings, client_id) | {
        "group.id": group,
        "auto.offset.reset": "latest",
        "enable.auto.commit": False,
        "fetch.wait.max.ms": 100,
        "fetch.min.bytes": 1,
        "message.max.bytes": largest,
        "fetch.message.max.bytes": largest,
        "receive.message.max.bytes": 4 * largest + 1024 * 1024,
        "queued.max.messages.kbytes": max(16 * 1024, 4 * largest // 1024),
        "session.timeout.ms": 6000,
        "enable.partition.eof": False,
    }
