"""What Spark and Kafka's Java clients are told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cctv_common.settings import KafkaSettings
from cctv_detection.executor import command
from cctv_detection.kafka_options import sink_options, source_options

SERVICE = Path(__file__).resolve().parents[3] / "services" / "detection"


def test_source_and_sink_take_the_largest_frame() -> None:
    settings = KafkaSettings(kafka_bootstrap_servers="kafka:9092", kafka_max_frame_bytes=9_000_000)
    assert int(source_options(settings)["kafka.max.partition.fetch.bytes"]) > 9_000_000
    assert int(sink_options(settings)["kafka.max.request.size"]) > 9_000_000
    assert int(sink_options(settings)["kafka.buffer.memory"]) > 9_000_000


def test_a_password_stays_within_its_quotes() -> None:
    settings = KafkaSettings(
        kafka_bootstrap_servers="kafka:9092",
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_username="me",
        kafka_sasl_password='a"b\\c; x="y',
        kafka_ssl_ca="-----BEGIN CERTIFICATE-----",
    )
    for options in (source_options(settings), sink_options(settings)):
        assert options["kafka.sasl.jaas.config"].endswith(' username="me" password="a\\"b\\\\c; x=\\"y";')
        assert options["kafka.ssl.truststore.type"] == "PEM"
        assert options["kafka.ssl.truststore.certificates"] == "-----BEGIN CERTIFICATE-----"


def test_an_executor_is_run_as_spark_says_in_its_environment() -> None:
    said = {
        "JAVA_HOME": "/java",
        "SPARK_HOME": "/spark",
        "SPARK_CLASSPATH": "/jars/*",
        "SPARK_EXECUTOR_MEMORY": "512m",
        "SPARK_EXECUTOR_CORES": "2",
        "SPARK_EXECUTOR_ID": "7",
        "SPARK_EXECUTOR_POD_IP": "10.0.0.9",
        "SPARK_EXECUTOR_POD_NAME": "spark-executor-7",
        "SPARK_APPLICATION_ID": "app",
        "SPARK_RESOURCE_PROFILE_ID": "0",
        "SPARK_DRIVER_URL": "spark://driver",
        "SPARK_JAVA_OPT_10": "-Dlast=1",
        "SPARK_JAVA_OPT_9": "-Dfirst=with space",
    }
    run = command(said)
    assert run[:6] == ["/java/bin/java", "-Dfirst=with space", "-Dlast=1", "-Xms512m", "-Xmx512m", "-cp"]
    assert run[6] == "/jars/*:/spark/jars/*"
    assert dict(zip(run[8::2], run[9::2], strict=True))["--cores"] == "2"
    with pytest.raises(KeyError, match="SPARK_DRIVER_URL"):
        command({name: value for name, value in said.items() if name != "SPARK_DRIVER_URL"})


def test_pyspark_and_its_kafka_source_are_of_one_version() -> None:
    (pyspark,) = re.findall(r"^pyspark==(\S+)$", (SERVICE / "requirements-spark.in").read_text(), re.MULTILINE)
    (source,) = re.findall(r"<spark>(.+)</spark>", (SERVICE / "pom.xml").read_text())
    lock = (SERVICE / "maven.lock.yml").read_text()
    assert {pyspark, source} == set(re.findall(r'artifact: "spark-\S+"\n    version: "(\S+)"', lock))
