"""Spark's options for Kafka's Java clients, from the settings that librdkafka's clients are made of."""

from __future__ import annotations

from cctv_common.kafka import RECORD_OVERHEAD
from cctv_common.settings import KafkaSettings


def client_options(settings: KafkaSettings) -> dict[str, str]:
    """What source and sink set: where the brokers are, and who asks."""
    secured: dict[str, str] = {}
    if settings.kafka_security_protocol == "SASL_SSL":
        user, password = (
            _quoted(text) for text in (settings.kafka_sasl_username, settings.kafka_sasl_password.get_secret_value())
        )
        secured = {
            "kafka.security.protocol": "SASL_SSL",
            "kafka.sasl.mechanism": "SCRAM-SHA-512",
            "kafka.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required"
            f" username={user} password={password};",
        }
        if settings.kafka_ssl_ca:
            secured |= {"kafka.ssl.truststore.type": "PEM", "kafka.ssl.truststore.certificates": settings.kafka_ssl_ca}
    return secured | {
        "kafka.bootstrap.servers": settings.kafka_bootstrap_servers,
        "kafka.reconnect.backoff.ms": "100",
        "kafka.reconnect.backoff.max.ms": "2000",
        "kafka.metadata.max.age.ms": "10000",
    }


def source_options(settings: KafkaSettings) -> dict[str, str]:
    """A reader of frames."""
    largest = settings.kafka_max_frame_bytes + RECORD_OVERHEAD
    return client_options(settings) | {
        "includeHeaders": "true",
        # What retention has taken is counted by who reads the query's progress; the query goes on.
        "failOnDataLoss": "false",
        "kafka.fetch.max.wait.ms": "100",
        "kafka.max.partition.fetch.bytes": str(max(1024 * 1024, largest)),
        "kafka.fetch.max.bytes": str(max(16 * 1024 * 1024, 4 * largest)),
        "kafka.default.api.timeout.ms": "20000",
        "kafka.request.timeout.ms": "10000",
        "kafkaConsumer.pollTimeoutMs": "30000",
    }


def sink_options(settings: KafkaSettings) -> dict[str, str]:
    """A writer of what must not be lost: told by all replicas that they have it, and tried again until then."""
    return client_options(settings) | {
        "kafka.acks": "all",
        "kafka.compression.type": "none",
        "kafka.linger.ms": "0",
        "kafka.max.request.size": str(settings.kafka_max_frame_bytes + RECORD_OVERHEAD),
        "kafka.buffer.memory": str(max(32 * 1024 * 1024, 4 * settings.kafka_max_frame_bytes)),
    }


def _quoted(text: str) -> str:
    # As Java's StreamTokenizer reads it, which JAAS is parsed by.
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
