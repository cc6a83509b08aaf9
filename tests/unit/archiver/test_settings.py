"""A wrong environment is one line that says what was expected."""

from __future__ import annotations

import pytest
from cctv_archiver.settings import Settings
from cctv_common.settings import EXIT_CONFIG, load


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"IMAGE_STORE_DIR": "images"}, "IMAGE_STORE_DIR='images': expected an absolute path"),
        ({"ARCHIVER_RETENTION_HOURS": "-1"}, "ARCHIVER_RETENTION_HOURS='-1'"),
        ({"ARCHIVER_RETENTION_BYTES": "10 GB"}, "ARCHIVER_RETENTION_BYTES='10 GB'"),
        ({"KAFKA_DETECTION_IMAGES_TOPIC": ""}, "KAFKA_DETECTION_IMAGES_TOPIC=''"),
    ],
)
def test_a_wrong_variable_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], environment: dict[str, str], told: str
) -> None:
    sound = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092", "IMAGE_STORE_DIR": "/images"}
    for name, value in {**sound, **environment}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        load(Settings)
    assert ended.value.code == EXIT_CONFIG
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(told)
