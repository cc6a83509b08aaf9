"""Files as cameras; what comes over the network is in the integration tests."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from cctv_producer.location import Location, locate
from cctv_producer.pacing import Timetable
from cctv_producer.source import CameraAway, Source, Unreadable
from cctv_producer.sources import connect


def open_still(location: Location, fps: float = 0) -> Source:
    """A source that does not wait."""
    return connect(location, lambda _: None, fps=fps, width=0, timeout_ms=1000)


def write_clip(path: Path, frames: int, fps: int = 10) -> None:
    """A clip whose frame n is of the gray value 20 n."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (32, 32))
    for number in range(frames):
        writer.write(np.full((32, 32, 3), 20 * number, np.uint8))
    writer.release()


def test_a_clip_starts_again_after_its_last_frame(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.avi", frames=5)
    source = open_still(locate((tmp_path / "clip.avi").as_uri()))
    seen = []
    for __ in range(13):
        source.grab()
        seen.append(round(source.retrieve().mean() / 20))
    source.close()
    assert seen == [0, 1, 2, 3, 4] * 2 + [0, 1, 2]


def test_a_clip_is_played_at_its_own_speed_over_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip(tmp_path / "clip.avi", frames=5)
    now = [100.0]
    moments = []

    def pause(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr("cctv_producer.files.Timetable", partial(Timetable, clock=lambda: now[0]))
    source = connect(locate((tmp_path / "clip.avi").as_uri()), pause, fps=0, width=0, timeout_ms=1000)
    for __ in range(13):
        source.grab()
        moments.append(now[0])
    source.close()
    assert moments == pytest.approx([100 + number / 10 for number in range(13)], abs=1e-3)


def test_stills_come_in_order_and_start_again_with_what_is_there_then(tmp_path: Path) -> None:
    for number in (0, 1):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((8, 8, 3), number, np.uint8))
    source = open_still(locate(tmp_path.as_uri()))
    seen = []
    for turn in range(7):
        source.grab()
        seen.append(int(source.retrieve()[0, 0, 0]))
        if turn == 2:
            cv2.imwrite(str(tmp_path / "2.png"), np.full((8, 8, 3), 2, np.uint8))
    assert seen == [0, 1, 0, 1, 0, 1, 2]


def test_a_still_that_is_none_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    cv2.imwrite(str(tmp_path / "b.png"), np.zeros((8, 8, 3), np.uint8))
    source = open_still(locate(tmp_path.as_uri()))
    for __ in range(3):
        with pytest.raises(Unreadable, match=r"a\.jpg cannot be decoded"):
            source.grab()
        source.grab()


def test_a_folder_without_any_good_picture_is_a_camera_that_is_away(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    source = open_still(locate(tmp_path.as_uri()))
    with pytest.raises(Unreadable):
        source.grab()
    with pytest.raises(CameraAway, match="no picture that can be decoded"):
        source.grab()


def test_a_file_that_is_no_video_is_a_camera_that_is_away(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"no video" * 100)
    with pytest.raises(CameraAway, match=r"clip\.mp4 is missing or no video"):
        open_still(locate((tmp_path / "clip.mp4").as_uri()))


def test_a_camera_that_refuses_is_named_without_its_password(unused_tcp_port: int) -> None:
    location = locate(f"http://admin:hunter2@127.0.0.1:{unused_tcp_port}/cam?password=hunter2")
    with pytest.raises(CameraAway) as refused:
        open_still(location)
    assert str(refused.value) == f"no connection to http://127.0.0.1:{unused_tcp_port}: Connection refused"


def test_a_usb_camera_that_is_not_there_is_away() -> None:
    with pytest.raises(CameraAway, match="/dev/video97: No such file or directory; expected a USB camera"):
        open_still(locate("usb:97"))


def test_a_device_that_is_no_camera_is_away() -> None:
    with pytest.raises(CameraAway, match="/dev/null gives no pictures: it is in use, or no camera"):
        open_still(locate("usb:/dev/null"))
