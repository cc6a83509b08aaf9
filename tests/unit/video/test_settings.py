from __future__ import annotations

import pytest
from cctv_common.settings import EXIT_CONFIG, load
from cctv_video.settings import Settings


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")


@pytest.mark.parametrize(
    ("text", "ids"), [("", ()), ("gate", ("gate",)), ("gate, yard,", ("gate", "yard")), ("a-1,b", ("a-1", "b"))]
)
def test_cameras_are_a_list_with_commas(monkeypatch: pytest.MonkeyPatch, text: str, ids: tuple[str, ...]) -> None:
    monkeypatch.setenv("VIDEO_CAMERAS", text)
    assert load(Settings).video_cameras == ids


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("VIDEO_CAMERAS", "gate,Back Yard", "'Back Yard' is no camera id"),
        ("VIDEO_CAMERAS", "gate,gate", "'gate' is there twice"),
        ("VIDEO_MAX_VIEWERS", "0", "greater than or equal to 1"),
        ("FRAME_MAX_AGE_MS", "soon", "valid integer"),
        ("VIDEO_ROOT_PATH", "cctv/", "string should match"),
        ("VIDEO_USERNAME", "a:b", "string should match"),
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
