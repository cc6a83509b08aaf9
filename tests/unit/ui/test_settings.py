from __future__ import annotations

import pytest
from cctv_common.settings import EXIT_CONFIG, load
from cctv_ui.settings import Settings


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELASTICSEARCH_URL", "http://127.0.0.1:9200")
    monkeypatch.setenv("IMAGE_STORE_DIR", "/srv/images")


def test_several_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELASTICSEARCH_URL", "http://one:9200, http://two:9200,")
    assert load(Settings).elasticsearch_url == ("http://one:9200", "http://two:9200")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("ELASTICSEARCH_URL", "elasticsearch:9200", "expected http://host:port"),
        ("ELASTICSEARCH_URL", "http://user:word@host:9200", "expected http://host:port"),
        ("ELASTICSEARCH_URL", ",", "expected http://host:port"),
        ("ELASTICSEARCH_ALIAS", "detections/../x", "string should match"),
        ("IMAGE_STORE_DIR", "images", "expected an absolute path"),
        ("UI_PAGE_SIZE", "0", "greater than or equal to 1"),
        ("UI_REFRESH_MS", "often", "valid integer"),
        ("UI_USERNAME", "a:b", "string should match"),
        ("HTTP_PORT", "70000", "less than or equal to 65535"),
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
    assert line.startswith(f"{name}='{value}'") and expected in line


@pytest.mark.parametrize("name", ["ELASTICSEARCH_URL", "IMAGE_STORE_DIR"])
def test_what_must_be_set_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(SystemExit):
        load(Settings)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{name} is not set")
