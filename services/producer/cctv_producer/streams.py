"""Cameras on the network: RTSP, MJPEG over HTTP and what else FFmpeg reads.

PyAV, as OpenCV keeps the size of a stream's first picture for all that follow, decodes what nobody wants, and says of
no error what it was.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import av
import av.error
import av.logging
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from cctv_producer.image import Image
from cctv_producer.location import Location
from cctv_producer.pacing import KeyFrames
from cctv_producer.source import CameraAway, Unreadable

# FFmpeg's own lines would repeat with every try to connect, and may hold the camera's URL with its password.
av.logging.set_level(None)

RTSP = {"rtsp_flags": "prefer_tcp", "allowed_media_types": "video"}
# Where a transport stream changes its codec, another stream would begin, of which nothing would be told.
HTTP = {"merge_pmt_versions": "1"}
INTRA_ONLY = frozenset({"mjpeg", "png", "jpeg2000"})


class Stream:
    """A stream of which all is decoded, or no more than the wanted rate needs.

    Pictures that stand for themselves are decoded when they are asked for. Of others, which need what came before them,
    all are, unless the key frames alone come as often as pictures are wanted.
    """

    def __init__(self, location: Location, fps: float, timeout_ms: int) -> None:
        self._timeout_s = timeout_ms / 1000
        self._reformatter = VideoReformatter()
        self._key_frames = KeyFrames(fps)
        self._frames: deque[VideoFrame] = deque()
        self._frame: VideoFrame | None = None
        self._packet: Packet[VideoStream] | None = None
        self._readable = True
        self._picture_at = time.monotonic()
        try:
            # Twice, as it counts for what is opened, and for what is then found out about it.
            self._container = av.open(
                location.url,
                options=RTSP if location.url.lower().startswith("rtsp") else HTTP,
                timeout=(self._timeout_s, self._timeout_s),
            )
        # With an error's text would come the URL.
        except av.error.FFmpegError as error:
            # RTSP calls invalid what it was interrupted in.
            late = isinstance(error, av.error.ExitError) or time.monotonic() - self._picture_at > self._timeout_s
            raise CameraAway(_why(location, error, timeout_ms, late)) from None
        if not self._container.streams.video:
            self._container.close()
            raise CameraAway(f"{location.shown} sends no pictures")
        self._stream: VideoStream = self._container.streams.video[0]
        self._tick_s = float(self._stream.time_base or 0)
        context = self._stream.codec_context
        # Each thread more would hold back one picture, and be there for every camera.
        context.thread_count = 1
        self.codec = context.name
        self._lazy = self.codec in INTRA_ONLY
        # All streams, as one that goes silent beside another would never be noticed.
        self._packets: Iterator[Packet[Any]] = self._container.demux()

    def grab(self) -> bool:
        """Wait for the next picture."""
        self._frame = None
        while not self._frames:
            packet = self._next()
            if self._lazy:
                self._packet = packet
                if self._readable:
                    self._picture_at = time.monotonic()
                return True
            if not self._key_frames.wants(packet.is_keyframe, time.monotonic(), self._stamp(packet)):
                if not self._key_frames.waiting:
                    self._picture_at = time.monotonic()
                return False
            self._frames.extend(self._decoded(packet))
            if self._key_frames.alone and not self._frames:
                # It would wait for the next one, to bring them in order.
                self._frames.extend(self._decoded(None))
                self._stream.codec_context.flush_buffers()
                if not self._frames:
                    self._key_frames.give_up()
        self._frame = self._frames.popleft()
        self._picture_at = time.monotonic()
        return True

    def _stamp(self, packet: Packet[VideoStream]) -> float | None:
        """When a packet is due, in s by the stream's own clock."""
        ticks = packet.pts if packet.dts is None else packet.dts
        return None if ticks is None else ticks * self._tick_s

    def _next(self) -> Packet[VideoStream]:
        """Return the next packet of the pictures' stream that has something in it."""
        while True:
            try:
                packet = next(self._packets, None)
            except av.error.FFmpegError as error:
                raise CameraAway(self._why_ended(error)) from None
            if packet is None or (packet.stream is self._stream and packet.size == 0):
                raise CameraAway("it ended the stream")
            # Also when it sends a byte a second, another kind of pictures than it said, or sound alone.
            if time.monotonic() - self._picture_at > self._timeout_s:
                raise CameraAway(f"it sent no picture for {self._timeout_s * 1000:g} ms")
            if packet.stream is self._stream:
                return packet

    def _decoded(self, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
        try:
            return self._stream.codec_context.decode(packet)
        except av.error.FFmpegError as error:
            raise Unreadable(f"a picture cannot be decoded: {error.strerror}") from None

    def retrieve(self) -> Image:
        """Return the grabbed picture."""
        if self._lazy:
            # Until one is a picture again, others that come do not count as such.
            self._readable = False
            self._frame = next(iter(self._decoded(self._packet)), None)
        if self._frame is None:
            raise Unreadable("a picture cannot be decoded")
        self._readable = True
        if self._frame.is_corrupt:
            self._key_frames.give_up()
            raise Unreadable("a picture is damaged")
        # Not the frame's own method: this one keeps what it needs for the next of that size.
        image = self._reformatter.reformat(self._frame, format="bgr24").to_ndarray()
        return image.astype("uint8", copy=False)

    def close(self) -> None:
        """Hang up."""
        self._container.close()

    def _why_ended(self, error: av.error.FFmpegError) -> str:
        if isinstance(error, av.error.ExitError):
            return f"it sent nothing for {self._timeout_s * 1000:g} ms"
        return f"it ended the stream: {error.strerror}"


def _why(location: Location, error: av.error.FFmpegError, timeout_ms: int, late: bool) -> str:
    if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError):
        return f"{location.shown} answers, but user or password is wrong or missing"
    if isinstance(error, av.error.HTTPNotFoundError):
        return f"{location.shown} answers, but has no such path"
    if late:
        return f"no stream came from {location.shown} within {2 * timeout_ms} ms: it hangs, or is out of reach"
    try:
        # What FFmpeg tells of a connection that failed may be as little as "Input/output error".
        socket.create_connection((location.host, location.port), timeout_ms / 1000).close()
    except OSError as failed:
        return f"no connection to {location.shown}: {failed.strerror or failed}"
    return f"{location.shown} answers, but no stream came: {error.strerror}"
