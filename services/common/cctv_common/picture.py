"""JPEG to pixels and back; apart from `jpeg`, as not every service has pixels to look at."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from cctv_common.jpeg import BadFrame

Picture = npt.NDArray[np.uint8]
"""Height x width x 3, in OpenCV's order blue, green, red."""

cv2.setNumThreads(1)  # frames are worked on side by side; threads within one only cost


def decode(jpeg: bytes) -> Picture:
    """Return the picture as it lies in the file (headers count its pixels before any EXIF rotation).

    Raises BadFrame when its pixels cannot be decoded.
    """
    try:
        # In up to half the time of OpenCV's. Not strict, as cameras are not: what can be seen is shown.
        return simplejpeg.decode_jpeg(jpeg, "BGR", strict=False)  # type: ignore[no-any-return]
    except ValueError:
        return _decode_any(jpeg)


def _decode_any(jpeg: bytes) -> Picture:
    """By OpenCV, which knows rare kinds, as CMYK."""
    try:
        picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        picture = None
    if picture is None:
        raise BadFrame("not_jpeg", "its pixels cannot be decoded")
    return picture  # type: ignore[return-value]


def encode(picture: Picture, quality: int) -> bytes:
    """Return a picture in colour, or gray (height x width), as a JPEG of ``quality`` 1..100; see `rows`.

    Raises BadFrame where OpenCV cannot.
    """
    block = 16 if picture.ndim == 3 else 8
    row = -(-picture.shape[1] // block)
    ok, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_RST_INTERVAL, row])
    if not ok:
        raise BadFrame("not_jpeg", "cannot be encoded")
    return jpeg.tobytes()
