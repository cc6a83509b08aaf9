"""What is taken out of texts that are given away, and what is not."""

from __future__ import annotations

import base64
import json

import pytest
from ansible_collections.cctv.pipeline.plugins.module_utils.redaction import REDACTED, Redactor, hidden, secrets

KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEAAoIB\n-----END PRIVATE KEY-----\n"
JAAS = 'user_admin="kafka7geheim"\nadmin.password=anderes8wort\nsecurity.protocol=SASL_SSL\n'
URL = "rtsp://viewer:sch%C3%BCtz@192.0.2.7:554/1?token=abc12345"
KEPT = {
    "kind": "Secret",
    "data": {name: base64.b64encode(text.encode()).decode() for name, text in {"key": KEY, "jaas": JAAS}.items()},
    "stringData": {"URL": URL, "SASL_USERNAME": "consumer", "FLAG": "true", "PORT": "554"},
}


@pytest.fixture(scope="module")
def redact() -> Redactor:
    return Redactor(secrets([KEPT]))


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        (URL, "abc12345"),
        ("login with viewer and schütz failed", "schütz"),
        ("rtsp://viewer:sch%C3%BCtz@192.0.2.7/2", "sch%C3%BCtz"),
        (json.dumps({"password": "schütz"}), "sch\\u00fctz"),
        ("the key MIIEvQIBADANBgkqhkiG9w0B was refused", "MIIEvQIBADANBgkqhkiG9w0B"),
        (json.dumps({"log": KEY}), "AQEFAASCBKcwggSjAgEAAoIB"),
        ("anderes8wort", "anderes8wort"),
        ("admin said kafka7geheim", "kafka7geheim"),
        (base64.b64encode(JAAS.encode()).decode(), base64.b64encode(JAAS.encode()).decode()[:20]),
        # In no Secret, but by its looks.
        ("http://me:nirgends9@host/", "nirgends9"),
        ("http://nirgends9@host/", "nirgends9"),
        ("PASSWORD='nirgends9'", "nirgends9"),
        ('{"api_key": "nirgends9"}', "nirgends9"),
        ('{\\"token\\": \\"nirgends9\\"}', "nirgends9"),
        ("Authorization: Basic bmlyZ2VuZHM5", "bmlyZ2VuZHM5"),
        ("-----BEGIN RSA PRIVATE KEY-----\\nnirgends9\\n-----END RSA PRIVATE KEY-----", "nirgends9"),
    ],
)
def test_is_taken_out(redact: Redactor, text: str, gone: str) -> None:
    assert gone in text
    assert gone not in redact(text)
    assert REDACTED in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "consumer is ready: true, port 554",
        'cctv_frames_in_total{stage="consumer",camera="gate"} 554.0',
        "rtsp://192.0.2.7:554/1",
        '{"secretKeyRef": {"name": "kafka-client", "key": "KAFKA_SASL_PASSWORD"}}',
        "reads secrets of the namespace",
    ],
)
def test_stays(redact: Redactor, text: str) -> None:
    assert redact(text) == text


def test_a_secret_shows_its_keys_only() -> None:
    shown = json.dumps(hidden(KEPT))
    assert "SASL_USERNAME" in shown and "jaas" in shown
    assert URL not in shown and KEPT["data"]["key"] not in shown
    assert hidden({"kind": "ConfigMap", "data": {"A": "b"}}) == {"kind": "ConfigMap", "data": {"A": "b"}}
