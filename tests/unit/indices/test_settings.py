from __future__ import annotations

import pytest
from cctv_common.settings import EXIT_CONFIG, load
from cctv_indices.settings import Settings


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("ELASTICSEARCH_URL", "elasticsearch:9200", "http://host:port"),
        ("ELASTICSEARCH_RETENTION_DAYS", "0", "greater than or equal to 1"),
        ("ELASTICSEARCH_SNAPSHOTS", "perhaps", "boolean"),
        ("INDICES_CHECK_INTERVAL_MS", "1", "greater than or equal to 100"),
    ],
)
def test_a_wrong_setting_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, expected: str
) -> None:
    monkeypatch.setenv("ELASTICSEARCH_URL", "http://127.0.0.1:9200")
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        load(Settings)
    assert ended.value.code == EXIT_CONFIG
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{name}={value!r}: ")
    assert expected in line
