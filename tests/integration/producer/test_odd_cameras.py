"""Cameras that do what cameras should not: all of it real streams, over real connections."""

from __future__ import annotations

import io
import itertools
import socketserver
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import quote

import av
import cv2
import numpy as np
import pytest
from cameras.process import Camera, make_units, sample_clip
from cctv_common.frames import Frame

Start = Callable[..., Any]
Script = Callable[[int], Iterator[bytes]]

LOGIN = ("op er", "p@ss:w/rd #1?%ü")
FPS = 25
MJPEG = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"
MPEG_TS = b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n"


class Scripted:
    """A camera that answers whatever it is asked with what a script yields, which is told how many asked before."""

    def __init__(self, script: Script) -> None:
        viewers = itertools.count()

        class Viewer(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                self.request.recv(4096)
                try:
                    for part in script(next(viewers)):
                        self.request.sendall(part)
                except OSError:  # the viewer has gone
                    pass

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Viewer)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]

    def __enter__(self) -> Scripted:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def street() -> list[Any]:
    """The first seconds of a clip."""
    capture = cv2.VideoCapture(str(sample_clip()))
    return [cv2.resize(capture.read()[1], (320, 136)) for __ in range(76)]


def in_time(parts: Iterator[bytes] | list[bytes], fps: float = FPS) -> Iterator[bytes]:
    """The parts, ``fps`` a second."""
    start = time.monotonic()
    for number, part in enumerate(parts):
        time.sleep(max(0.0, start + number / fps - time.monotonic()))
        yield part


def jpeg_part(jpeg: bytes) -> bytes:
    return b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(jpeg), jpeg)


def test_login_and_substream_and_new_sizes_and_another_codec(start: Start, tmp_path: Path) -> None:
    h264 = make_units(tmp_path, "h264", (320, 240), (640, 360), seconds=1)
    h265 = make_units(tmp_path, "h265", (352, 288))
    with Camera.rtsp(h264, login=LOGIN) as camera:
        producer = start(
            "gate",
            CAMERA_URL=camera.url.replace("/cam", "/there-is-no-such-stream"),
            CAMERA_SUBSTREAM="/cam",
            CAMERA_USERNAME=LOGIN[0],
            CAMERA_PASSWORD=LOGIN[1],
        )
        sizes = [(frame.width, frame.height) for frame in producer.frames(80)]
        # Each for a second, then the other.
        assert set(sizes) == {(320, 240), (640, 360)}
        assert sum(one != other for one, other in itertools.pairwise(sizes)) >= 2
        port = camera.port
    producer.until("word of it", lambda: producer.said("camera is away") == 1)
    with Camera.rtsp(h265, login=LOGIN, port=port):
        producer.until("the camera back", lambda: producer.said("camera is back") == 1)
        producer.forget()
        assert {(frame.width, frame.height) for frame in producer.frames(5)} == {(352, 288)}
        assert '"now": "hevc 352x288"' in producer.log
        producer.until("a count of changes", lambda: producer.metric("cctv_camera_changes_total") >= 3)
        with urllib.request.urlopen(f"http://127.0.0.1:{producer.port}/metrics", timeout=5) as metrics:
            told = metrics.read().decode() + Path(f"/proc/{producer.process.pid}/cmdline").read_text()
    with Camera.rtsp(h265, login=(LOGIN[0], "another"), port=port):
        producer.until("a refusal", lambda: "user or password is wrong" in producer.log)
        told += producer.log
    for part in (*LOGIN, *LOGIN[1].split(), quote(LOGIN[1], safe="")):
        assert part not in told


def test_what_is_no_picture_is_not_sent_and_a_frozen_one_is_told(start: Start, street: list[Any]) -> None:
    moving = [cv2.imencode(".jpg", image)[1].tobytes() for image in street]
    grey = cv2.imencode(".jpg", np.full_like(street[0], 128))[1].tobytes()
    thaw = threading.Event()

    def script(__: int) -> Iterator[bytes]:
        yield MJPEG
        odd = [*moving[:25], *[grey] * 10, b"no picture", *moving[25:50], moving[50][:300], *moving[51:75]]
        yield from in_time([jpeg_part(picture) for picture in odd])
        while not thaw.is_set():
            yield from in_time([jpeg_part(moving[75])] * 5)
        yield from in_time(jpeg_part(picture) for picture in itertools.cycle(moving))

    with Scripted(script) as camera:
        producer = start("yard", CAMERA_URL=f"http://127.0.0.1:{camera.port}/", CAMERA_FROZEN_AFTER_S="1")
        producer.until("word of a frozen camera", lambda: producer.metric("cctv_camera_frozen") == 1)
        producer.forget()
        frozen = producer.frames(5)
        thaw.set()
        producer.until("word of its end", lambda: producer.metric("cctv_camera_frozen") == 0)
        producer.forget()
        after = producer.frames(5)
    # It goes on to be seen, as it is.
    assert len({frame.jpeg for frame in frozen}) == 1 and len({frame.jpeg for frame in after}) == 5
    assert (producer.said("camera is frozen"), producer.said("camera moves again")) == (1, 1)
    assert producer.metric("cctv_frames_dropped_total", cause="grey") == 10
    assert producer.said("camera shows grey") == 1
    assert producer.metric("cctv_frames_dropped_total", cause="unreadable") >= 1
    # None of it is a reason to hang up.
    assert producer.metric("cctv_camera_reconnects_total") == producer.said("camera is away") == 0


def transport_stream(images: list[Any], codec: str, first_s: float) -> list[bytes]:
    """What a camera sends for each picture whose clock began at ``first_s``."""
    buffer, parts = io.BytesIO(), []
    with av.open(buffer, "w", format="mpegts") as muxer:
        stream = muxer.add_stream(codec, rate=FPS)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt, stream.gop_size = "yuv420p", 12
        stream.options = {"preset": "ultrafast", "tune": "zerolatency"}
        stream.codec_context.time_base = Fraction(1, FPS)
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = round(first_s * FPS) + number, Fraction(1, FPS)
            muxer.mux(stream.encode(frame))
            parts.append(buffer.getvalue())
            buffer.seek(0)
            buffer.truncate()
        muxer.mux(stream.encode(None))
    return [*parts, buffer.getvalue()]


def test_a_camera_s_clock_is_not_believed_and_its_codec_may_change_midway(start: Start, street: list[Any]) -> None:
    noon = transport_stream(street[:50], "libx264", 43_200)
    morning = transport_stream(street[:50], "libx264", 10)
    other = transport_stream(street, "libx265", 80_000)

    def script(viewer: int) -> Iterator[bytes]:
        yield MPEG_TS
        yield from in_time([*noon, *morning] if viewer == 0 else [])
        # To the first viewer on the very connection.
        yield from in_time(itertools.cycle(other))

    began = time.time() * 1000
    with Scripted(script) as camera:
        producer = start("hall", CAMERA_URL=f"http://127.0.0.1:{camera.port}/", CAMERA_TIMEOUT_MS="1000")
        frames: list[Frame] = producer.frames(80)
        producer.until("the other codec", lambda: '"now": "hevc 320x136"' in producer.log)
        producer.forget()
        frames += producer.frames(20)
    moments = [frame.captured_at for frame in frames]
    assert moments == sorted(set(moments))
    assert began <= moments[0] and moments[-1] <= time.time() * 1000
    assert [frame.frame for frame in frames] == sorted({frame.frame for frame in frames})


@pytest.mark.parametrize("where", ["rtsp", "http", "picture"])
def test_a_camera_that_drips_a_byte_a_second_is_away(start: Start, street: list[Any], where: str) -> None:
    def script(__: int) -> Iterator[bytes]:
        pictures = b"".join(jpeg_part(cv2.imencode(".jpg", image)[1].tobytes()) for image in street[:10])
        if where == "picture":
            yield MJPEG + pictures
        drops = {"rtsp": b"RTSP/1.0 200 OK\r\n", "http": MJPEG, "picture": pictures}[where]
        yield from in_time((drops[at : at + 1] for at in range(len(drops))), fps=1)

    with Scripted(script) as camera:
        scheme = "rtsp" if where == "rtsp" else "http"
        producer = start("drip", CAMERA_URL=f"{scheme}://127.0.0.1:{camera.port}/", CAMERA_TIMEOUT_MS="500")
        producer.until("several tries", lambda: producer.metric("cctv_camera_reconnects_total") >= 3)
        assert (producer.get("/healthz"), producer.get("/readyz")) == (200, 200)
        assert ("sent nothing for 500 ms" if where == "picture" else "within 1000 ms") in producer.log
        assert producer.terminate() == 0
