from __future__ import annotations

import json

import pytest
from cctv_common.settings import EXIT_CONFIG, load
from cctv_topics.settings import Settings


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
    monkeypatch.setenv("TOPICS", "[]")


def test_configuration_is_written_as_kafka_does(monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"retention.ms": 60000, "unclean.leader.election.enable": True, "cleanup.policy": "delete"}
    monkeypatch.setenv("TOPICS", json.dumps([{"name": "videocam", "config": config}]))
    (topic,) = load(Settings).topics
    assert topic.config == {
        "retention.ms": "60000",
        "unclean.leader.election.enable": "true",
        "cleanup.policy": "delete",
    }


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("TOPICS", "videocam", "is no JSON"),
        ("TOPICS", '[{"name": "a"}, {"name": "a"}]', "'a' is there twice"),
        ("TOPICS", '[{"name": "a b"}]', "pattern"),
        ("TOPICS", '[{"name": "a", "partitions": 0}]', "greater than or equal to 1"),
        ("KAFKA_SECURITY_PROTOCOL", "SSL", "'PLAINTEXT' or 'SASL_SSL'"),
        ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL", "KAFKA_SASL_USERNAME is not set"),
    ],
)
def test_a_wrong_setting_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        load(Settings)
    assert ended.value.code == EXIT_CONFIG
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line


def test_a_password_is_never_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", "geheim")
    with pytest.raises(SystemExit):
        load(Settings)
    assert "geheim" not in capsys.readouterr().err
    monkeypatch.setenv("KAFKA_SASL_USERNAME", "cctv")
    assert "geheim" not in repr(load(Settings))
