"""What is decoded of a stream, from files: they come faster than any camera, so all key frames come in time."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from cameras.process import sample_clip
from cctv_producer.location import Location
from cctv_producer.source import CameraAway
from cctv_producer.streams import Stream

FRAMES = 76
X264 = {"preset": "ultrafast", "tune": "zerolatency", "crf": "5"}


def encode(path: Path, **options: str) -> Path:
    """The first frames of a clip, 64 pixels wide, each brighter in its upper left than the one before."""
    capture = cv2.VideoCapture(str(sample_clip()))
    encoder = av.VideoCodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 64, 64, "yuv420p"
    encoder.time_base, encoder.gop_size, encoder.options = Fraction(1, 25), 10, X264 | options
    with path.open("wb") as out:
        for number in range(FRAMES):
            image = cv2.resize(capture.read()[1], (64, 64))
            image[:32, :32] = 20 + 3 * number
            for packet in encoder.encode(av.VideoFrame.from_ndarray(image, format="bgr24")):
                out.write(bytes(packet))
    return path


def read(path: Path, fps: float) -> list[float | None]:
    """How bright each frame is in its upper left, None for those that are not to be had."""
    stream = Stream(Location("stream", "file", url=str(path)), fps, timeout_ms=5000)
    found: list[float | None] = []
    with pytest.raises(CameraAway, match="ended the stream"):
        while True:
            if stream.grab():
                found.append(float(np.mean(stream.retrieve()[8:24, 8:24])))
            else:
                found.append(None)
    stream.close()
    return found


def test_key_frames_alone_are_decoded_where_they_are_enough(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.h264", **{"x264-params": "scenecut=0"})
    every = read(path, fps=0)
    assert None not in every and every == sorted(set(every)) and len(every) == FRAMES
    found = read(path, fps=1)
    # Three that came in time have shown it; each of the others comes at once and not with the next.
    assert found[:31] == every[:31]
    assert [(place, frame) for place, frame in enumerate(found) if place > 30 and frame is not None] == [
        (place, every[place]) for place in (40, 50, 60, 70)
    ]


def test_key_frames_that_are_none_are_not_enough(tmp_path: Path) -> None:
    refreshed = {"x264-params": "intra-refresh=1:keyint=10"}
    assert None not in read(encode(tmp_path / "a.h264", **refreshed), fps=1)[-15:]
