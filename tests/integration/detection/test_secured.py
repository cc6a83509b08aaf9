"""Detection with brokers that want a password, and show a certificate of their own authority."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cctv_common.kafka import client_config
from waiting import until

from tests.integration.detection.conftest import PATIENCE_S, Chain
from tests.integration.kafka.conftest import Stack


@pytest.fixture
def secured(kafka_libs: Path, tmp_path: Path, spark_python: Path) -> Iterator[Chain]:
    """The service with the brokers and topics that role kafka describes."""
    (tmp_path / "stack").mkdir()
    stack = Stack(
        tmp_path / "stack",
        kafka_libs,
        kafka_security_protocol="SASL_SSL",
        kafka_broker_password="brokers",
        kafka_client_password='clients" own\\secret; x="1',
        kafka_partitions=2,
        detection_enabled=True,
    )
    try:
        stack.start()
        said = {name: value for name, value in stack.topics.environment.items() if name.startswith("KAFKA_")}
        chain = Chain(spark_python, tmp_path, client_config(stack.settings, "tests"), said)
        try:
            yield chain
        finally:
            chain.close()
    finally:
        stack.close()


def test_reads_and_writes(secured: Chain, clip: list[bytes]) -> None:
    secured.start()
    sent = secured.send("gate", 0, clip[0])
    secured.flush()
    until("detection", lambda: secured.ids() == [sent.id], PATIENCE_S)
    assert [picture.id for picture in secured.pictures()] == [sent.id]
    # Nothing that Spark says of its options has the password.
    assert "secret" not in secured.service.log
