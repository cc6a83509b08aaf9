"""Wrong settings: one line each, naming variable, value and expectation, and no secret."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from cctv_common.settings import EXIT_CONFIG, load
from cctv_producer.image import Box, Operations
from cctv_producer.location import SAMPLES
from cctv_producer.settings import Settings

GOOD = {"CAMERA_ID": "door", "CAMERA_URL": "sample:bikes", "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)


def refusal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **environment: str) -> str:
    """The one line that is said."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        load(Settings)
    assert ended.value.code == EXIT_CONFIG
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_all_is_optional_but_the_camera_and_kafka() -> None:
    settings = load(Settings)
    assert settings.operations == Operations()
    assert settings.location.kind == "video"


def test_image_operations_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "CAMERA_CROP": "0.25,0,0.5,1",
        "CAMERA_PRIVACY_MASKS": "0,0,0.1,0.2;0.5,0.5,0.5,0.5",
        "CAMERA_ROTATE": "270",
        "CAMERA_WIDTH": "320",
        "CAMERA_GRAYSCALE": "true",
    }.items():
        monkeypatch.setenv(name, value)
    assert load(Settings).operations == Operations(
        masks=(Box(0, 0, 0.1, 0.2), Box(0.5, 0.5, 0.5, 0.5)),
        crop=Box(0.25, 0, 0.5, 1),
        rotate=270,
        width=320,
        grayscale=True,
    )


def test_empty_values_are_as_if_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMERA_CROP", "")
    monkeypatch.setenv("CAMERA_PRIVACY_MASKS", " ")
    assert load(Settings).operations == Operations()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("CAMERA_ID", "Front Door", "letters a-z"),
        ("CAMERA_FPS", "fast", "number"),
        ("CAMERA_FPS", "-1", "greater than or equal to 0"),
        ("CAMERA_FPS", "nan", "finite number"),
        ("CAMERA_FPS", "0.001", "at least 0.01"),
        ("CAMERA_WIDTH", "-5", "greater than or equal to 0"),
        ("CAMERA_CROP", "0,0,640,480", "fractions"),
        ("CAMERA_ROTATE", "45", "expected 0, 90, 180 or 270"),
        ("CAMERA_GRAYSCALE", "perhaps", "boolean"),
        ("CAMERA_PRIVACY_MASKS", "0,0,1,1;0.5,0,0.6,1", "x+width and y+height up to 1"),
        ("CAMERA_TIMEOUT_MS", "1", "greater than or equal to 500"),
        ("JPEG_QUALITY", "101", "less than or equal to 100"),
        ("FRAME_MAX_AGE_MS", "0", "greater than or equal to 50"),
        ("CAMERA_FROZEN_AFTER_S", "-1", "0 for never"),
    ],
)
def test_wrong_value_is_named_with_what_is_expected(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, expected: str
) -> None:
    line = refusal(monkeypatch, capsys, **{name: value})
    assert line.startswith(f"{name}='{value}': ")
    assert expected in line


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ftp://camera/x", "unknown scheme 'ftp'; expected rtsp://"),
        ("camera.local", "no scheme; expected rtsp://"),
        ("rtsp://", "names no host"),
        ("rtsp://camera:99999/", "expected 1 to 65535"),
        ("sample:horses", "expected sample:bikes|carphone"),
        ("usb:front", "expected usb:0, usb:1, ... or usb:/dev/..."),
        ("file://relative/clip.mp4", "does not name an absolute path"),
        ("file:///there/is/no/clip.mp4", "/there/is/no/clip.mp4 cannot be read: No such file"),
    ],
)
def test_wrong_url_is_refused_with_what_is_expected(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str, expected: str
) -> None:
    line = refusal(monkeypatch, capsys, CAMERA_URL=url)
    assert line.startswith("CAMERA_URL=") and expected in line


def test_folder_without_pictures_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    assert "holds no pictures" in refusal(monkeypatch, capsys, CAMERA_URL=tmp_path.as_uri())


@pytest.mark.parametrize(
    "url", ["xtsp://admin:hunter2@camera/1", "rtsp://admin:hunter2@camera:99999/1?password=hunter2"]
)
def test_password_of_a_wrong_url_is_not_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    line = refusal(monkeypatch, capsys, CAMERA_URL=url)
    assert "hunter2" not in line and "admin" not in line


def test_password_is_neither_shown_nor_in_the_settings_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMERA_URL", "rtsp://admin:hunter2@camera:8554/1?password=hunter2")
    settings = load(Settings)
    assert settings.location.shown == "rtsp://camera:8554"
    assert "hunter2" not in repr(settings)
    assert settings.location.url.endswith("hunter2")


@pytest.mark.parametrize(
    ("url", "device"), [("usb:0", "/dev/video0"), ("usb:/dev/v4l/by-id/usb-1", "/dev/v4l/by-id/usb-1")]
)
def test_a_usb_camera_is_a_device(monkeypatch: pytest.MonkeyPatch, url: str, device: str) -> None:
    monkeypatch.setenv("CAMERA_URL", url)
    location = load(Settings).location
    assert (location.kind, str(location.paths[0]), location.live) == ("usb", device, True)


@pytest.mark.parametrize(
    ("substream", "read"),
    [
        ("/Streaming/Channels/102", "rtsp://u:p@camera:8554/Streaming/Channels/102"),
        ("/live?quality=low", "rtsp://u:p@camera:8554/live?quality=low"),
        ("?channel=1&subtype=1", "rtsp://u:p@camera:8554/cam/realmonitor?channel=1&subtype=1"),
        ("http://other/low.mjpg", "http://other/low.mjpg"),
    ],
)
def test_the_substream_is_read_in_place_of_the_stream(
    monkeypatch: pytest.MonkeyPatch, substream: str, read: str
) -> None:
    monkeypatch.setenv("CAMERA_URL", "rtsp://u:p@camera:8554/cam/realmonitor?channel=1&subtype=0")
    monkeypatch.setenv("CAMERA_SUBSTREAM", substream)
    assert load(Settings).location.url == read


def test_user_and_password_may_have_any_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "CAMERA_URL": "rtsp://camera/1",
        "CAMERA_SUBSTREAM": "/2",
        "CAMERA_USERNAME": "op er",
        "CAMERA_PASSWORD": "p@ss:w/rd #1?%[ü]",
    }.items():
        monkeypatch.setenv(name, value)
    settings = load(Settings)
    parts = urlsplit(settings.location.url)
    assert (parts.hostname, parts.path, parts.query, parts.fragment) == ("camera", "/2", "", "")
    assert (unquote(parts.username or ""), unquote(parts.password or "")) == ("op er", "p@ss:w/rd #1?%[ü]")
    assert "p@ss" not in repr(settings) and settings.location.shown == "rtsp://camera:554"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            {"CAMERA_SUBSTREAM": "low-hunter2"},
            "CAMERA_SUBSTREAM=(secret): expected a URL, or a path that begins with /",
        ),
        ({"CAMERA_SUBSTREAM": "file:///hunter2"}, "CAMERA_SUBSTREAM=(secret): it is no camera on the network"),
        ({"CAMERA_SUBSTREAM": "/hunter2", "CAMERA_URL": "usb:0"}, "CAMERA_SUBSTREAM=(secret): only a camera on the"),
        (
            {"CAMERA_USERNAME": "me", "CAMERA_URL": "sample:bikes"},
            "CAMERA_USERNAME=(secret): only a camera on the network",
        ),
        (
            {"CAMERA_USERNAME": "me", "CAMERA_URL": "rtsp://u:hunter2@camera/"},
            "CAMERA_USERNAME=(secret): the URL names",
        ),
        ({"CAMERA_USERNAME": "a:b"}, "CAMERA_USERNAME=(secret): it has a colon"),
        ({"CAMERA_PASSWORD": "hunter2"}, "CAMERA_USERNAME is not set; expected a user's name"),
        ({"CAMERA_USERNAME": "me", "CAMERA_PASSWORD": "hunter2@" * 13}, "133 characters as they stand in a URL"),
    ],
)
def test_what_does_not_go_together_is_refused_without_the_password(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    said: dict[str, str],
    expected: str,
) -> None:
    line = refusal(monkeypatch, capsys, **{"CAMERA_URL": "rtsp://camera/1"} | said)
    assert expected in line and "hunter2" not in line


def test_missing_camera_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("CAMERA_ID")
    assert refusal(monkeypatch, capsys).startswith("CAMERA_ID is not set")


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_in_the_wheels(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("CAMERA_URL", f"sample:{name}")
    assert all(path.stat().st_size > 10_000 for path in load(Settings).location.paths)


def test_stills_come_in_the_order_of_their_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "c.jpeg", "readme.md"):
        (tmp_path / name).touch()
    monkeypatch.setenv("CAMERA_URL", tmp_path.as_uri())
    assert [path.name for path in load(Settings).location.pictures()] == ["a.jpg", "b.PNG", "c.jpeg"]
