"""Problems of the inventory's list of cameras, and that the service takes just what the filter lets through."""

from __future__ import annotations

import pytest
from ansible_collections.cctv.pipeline.plugins.filter.cameras import SAMPLES, camera_problems
from cctv_producer import location
from cctv_producer.settings import Settings
from pydantic import ValidationError

DOOR = {"id": "door", "url": "rtsp://192.0.2.7/1"}


def test_good_cameras_have_no_problems() -> None:
    assert (
        camera_problems(
            [
                {"id": "bikes", "url": "sample:bikes", "fps": 10},
                {
                    "id": "yard-2",
                    "url": "rtsp://u:p@[2001:db8::1]:8554/x?y=z",
                    "fps": 2.5,
                    "rotate": 270,
                    "grayscale": True,
                },
                {
                    "id": "a",
                    "url": "HTTPS://cam/x",
                    "crop": [0.7, 0, 0.3, 1],
                    "privacy_masks": [[0, 0, 1, 0.5]],
                    "width": 640,
                },
                {
                    "id": "0",
                    "url": "file:///srv/a%20b/",
                    "fps": "1",
                    "jpeg_quality": 70,
                    "crop": None,
                    "privacy_masks": [],
                },
            ]
        )
        == []
    )


def test_every_problem_is_told_at_once() -> None:
    problems = camera_problems(
        [
            {"id": "Front Door", "url": "ftp://cam/x", "rotate": 45, "colour": "blue"},
            {"id": "a"},
            {"id": "a", "url": "sample:horses", "fps": -1, "crop": [0, 0, 640, 480]},
            "rtsp://cam/",
        ]
    )
    assert [problem.partition(";")[0] for problem in problems] == [
        "cameras[0] has the unknown option 'colour'",
        "cameras[0].id is 'Front Door'",
        "cameras[0].url is 'ftp://cam/...'",
        "cameras[0].rotate is 45",
        "cameras[1].url is not set",
        "cameras[2].url is 'sample:horses'",
        "cameras[2].fps is -1",
        "cameras[2].crop is [0, 0, 640, 480]",
        "cameras[2].id is 'a', which is cameras[1]'s",
        "cameras[3] is 'rtsp://cam/...'",
    ]
    assert all("; expected " in problem for problem in problems)


@pytest.mark.parametrize("cameras", [None, "door", {"id": "door"}, [], 7])
def test_what_is_no_list_of_cameras_is_one_problem(cameras: object) -> None:
    (problem,) = camera_problems(cameras, variable="producer_cameras")
    assert problem.startswith("producer_cameras is ") and "expected" in problem


@pytest.mark.parametrize(
    "url",
    [
        "xtsp://admin:hunter2@cam/1",
        "rtsp://admin:hunter2@cam:99999/1",
        "rtsp:/admin:hunter2@cam",
        "admin:hunter2@cam",
        "cam/video?password=hunter2",
        "http://[admin:hunter2@cam/",
    ],
)
def test_passwords_are_not_told(url: str) -> None:
    (problem,) = camera_problems([{"id": "door", "url": url}])
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    "cameras",
    [
        ["rtsp://admin:hunter2@cam/"],
        "rtsp://admin:hunter2@cam/",
        {"id": "door", "url": "rtsp://cam/", "password": "hunter2"},
        [["hunter2"]],
        [{"id": "door", "url": {"of": "hunter2"}}],
        [{"id": "door", "url": "rtsp://cam/", "password": ["hunter2"]}],
        [{"id": "door", "url": "rtsp://cam/", "username": "admin:hunter2", "password": "x"}],
        [{"id": "door", "url": "rtsp://cam/", "substream": "ftp://admin:hunter2@cam/"}],
        [{"id": "door", "url": "rtsp://cam/", "password": "hunter2"}],
        [{"id": "door", "url": "rtsp://admin:hunter2@cam/", "username": "admin", "password": "hunter2"}],
        [{"id": "door", "url": "rtsp://cam/", "username": "admin", "password": "hunter2@" * 13}],
    ],
)
def test_passwords_written_elsewhere_are_not_told(cameras: object) -> None:
    (problem,) = camera_problems(cameras)
    assert "hunter2" not in problem and "expected" in problem


@pytest.mark.parametrize(
    ("camera", "runtime", "problem"),
    [
        ({"url": "usb:0"}, "local", None),
        ({"url": "usb:0"}, "kubernetes", "cameras[0].url is 'usb:0'; expected a camera on the network"),
        ({"url": "usb:0"}, "compose", "cameras[0].url is 'usb:0'; expected a camera on the network"),
        ({"url": "usb:0", "substream": "/2"}, "local", "cameras[0].substream is set; expected none"),
        ({"credentials_secret": "door-login"}, "kubernetes", None),
        ({"credentials_secret": "door-login"}, "local", "cameras[0].credentials_secret is 'door-login'; expected user"),
        (
            {"credentials_secret": "door", "username": "me"},
            "kubernetes",
            "cameras[0].credentials_secret is set, and user",
        ),
        ({"username": "me"}, "local", None),
        ({"url": "sample:bikes", "username": "me"}, "local", "cameras[0].username is set; expected none"),
    ],
)
def test_what_does_not_go_together_is_told(camera: dict[str, str], runtime: str, problem: str | None) -> None:
    problems = camera_problems([DOOR | camera], runtime=runtime)
    assert len(problems) == (problem is not None)
    assert all(told.startswith(str(problem)) for told in problems)


def test_samples_are_those_of_the_service() -> None:
    assert set(SAMPLES) == set(location.SAMPLES)


def boxed(value: object) -> str:
    return ",".join(str(part) for part in value) if isinstance(value, list) else str(value)


TRIED = {
    "id": ["a", "a-b", "0", "a" * 40, "a" * 41, "", *["-a", "a-", "A", "a_b", "a.b", "ä"]],
    "url": [
        *["rtsp://cam", "RTSP://cam/1", "rtsps://cam:322/1", "http://u:p@cam/x", "https://[::1]/x", "rtsp://cam:0/"],
        *["rtsp://", "rtsp:cam", "rtsp://:554/", "rtsp://cam:x/", "rtsp://cam:65536/", "rtsp://[cam/", "ftp://cam"],
        *["cam", "", ":", "file:///", "file://host/x", "file:x.mp4", "Sample:bikes"],
        *["usb:0", "USB:10", "usb:/dev/video0", "usb:", "usb:front", "usb://0", "usb:-1", "usb:video0", "usb:/etc/x"],
        *["sample:bikes", "sample:photos", "sample:", "sample:horses", "sample://bikes"],
    ],
    "substream": ["/2", "?channel=2", "rtsp://cam/2", "2", "usb:0", "rtsp://", "file:///x"],
    "username": ["me", "op er", "a:b"],
    "fps": [0, 0.01, 10, 29.97, 120, 121, 0.001, -1, float("nan"), "fast"],
    "width": [0, 640, 7680, 7681, -1, "wide"],
    "rotate": [0, 90, 180, 270, 360, -90, 45, "left"],
    "crop": [[0, 0, 1, 1], [0.7, 0, 0.3, 1], [0, 0, 0, 1], [0.5, 0, 0.6, 1], [0, 0, 1], [-1, 0, 1, 1]],
    "grayscale": [True, False, "maybe"],
    "jpeg_quality": [1, 100, 0, 101],
    "frozen_after": [0, 60, 0.5, 86400, 86401, -1, "never"],
}


@pytest.mark.parametrize(("option", "value"), [(option, value) for option, values in TRIED.items() for value in values])
def test_filter_and_service_agree(option: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    camera = DOOR | {option: value}
    names = {"jpeg_quality": "jpeg_quality", "frozen_after": "camera_frozen_after_s"}
    values = {names.get(name, f"camera_{name}"): boxed(said) for name, said in camera.items()}
    try:
        Settings(kafka_bootstrap_servers="127.0.0.1:9092", **values)
        taken = True
    except ValidationError as error:
        # What a folder holds is for the machine to say on which the service runs.
        taken = "holds no pictures" in str(error)
    assert (camera_problems([camera]) == []) == taken
