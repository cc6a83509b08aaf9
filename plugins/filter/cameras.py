# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks the inventory's list of cameras before anything starts."""

from __future__ import annotations

import math
import re
from urllib.parse import quote, urlsplit

from ansible.errors import AnsibleFilterError

STREAMS = ("rtsp", "rtsps", "http", "https")
SAMPLES = ("bikes", "carphone", "bigbuckbunny", "photos")
ID = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")
SECRET_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
USB = re.compile(r"[0-9]{1,2}|/dev/[A-Za-z0-9_.:/-]+")
EXPECTED_STREAM = "rtsp://, rtsps://, http:// or https:// with a host"
EXPECTED_URL = (
    EXPECTED_STREAM + ", usb:0 or usb:/dev/..., file:///clip.mp4, file:///folder/, or sample:" + "|".join(SAMPLES)
)
EXPECTED_SUBSTREAM = EXPECTED_STREAM + ", or a path that begins with /, or a query that begins with ?"
MAX_RTSP_LOGIN = 127  # FFmpeg cuts what is longer
EXPECTED_BOX = "[x, y, width, height] in fractions 0..1 of the picture, within it"


def _shown_url(url):
    """The URL without what may be secret in it: a camera on the network has a password, and it may stand anywhere."""
    scheme, separator, _dummy = url.partition("://")
    if url.startswith(("file:", "sample:", "usb:")) or not (separator or "@" in url or "?" in url):
        return url
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = ""
    return "%s://%s/..." % (scheme, host) if separator else "(hidden)"


def _is_url(url):
    if not isinstance(url, str):
        return False
    scheme, _dummy, rest = url.partition(":")
    scheme = scheme.lower()
    if scheme == "sample":
        return rest in SAMPLES
    if scheme == "usb":
        return bool(USB.fullmatch(rest))
    try:
        parts = urlsplit(url)
        if scheme == "file":
            return parts.netloc in ("", "localhost") and parts.path.startswith("/")
        return scheme in STREAMS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_stream(url):
    return _is_url(url) and url.partition(":")[0].lower() in STREAMS


def _is_substream(value):
    if not isinstance(value, str):
        return False
    return _is_stream(value) if "://" in value else value.startswith(("/", "?"))


def _is_text(value):
    return isinstance(value, str) and bool(value)


def _number(value):
    """The value as a number, None when it is none; text that is one counts, as templates yield text."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _is_integer(value, least, most):
    number = _number(value)
    return number is not None and number.is_integer() and least <= number <= most


def _is_rate(value):
    number = _number(value)
    return number is not None and (number == 0 or 0.01 <= number <= 120)


def _is_duration(value):
    number = _number(value)
    return number is not None and 0 <= number <= 86400


def _is_bool(value):
    return isinstance(value, bool) or str(value).lower() in ("true", "false", "yes", "no")


def _is_box(value):
    if not isinstance(value, (list, tuple)) or len(value) != 4:
        return False
    numbers = [_number(item) for item in value]
    if any(number is None or not 0 <= number <= 1 for number in numbers):
        return False
    x, y, width, height = numbers
    # A millionth: 0.7 + 0.3 and the like may come out above 1.
    return width > 0 and height > 0 and x + width <= 1 + 1e-6 and y + height <= 1 + 1e-6


def _is_box_or_none(value):
    return value in (None, "", []) or _is_box(value)


def _are_boxes(value):
    return value is None or (isinstance(value, (list, tuple)) and all(_is_box(box) for box in value))


CHECKS = {
    "id": (
        lambda value: isinstance(value, str) and bool(ID.fullmatch(value)),
        "at most 40 of a-z, 0-9 and hyphens, no hyphen first or last",
    ),
    "url": (_is_url, EXPECTED_URL),
    "substream": (_is_substream, EXPECTED_SUBSTREAM),
    "username": (lambda value: _is_text(value) and ":" not in value, "text without a colon"),
    "password": (_is_text, "text, in quotes if it is a number"),
    "credentials_secret": (
        lambda value: isinstance(value, str) and bool(SECRET_NAME.fullmatch(value)),
        "the name of a Secret in the pipeline's namespace, with the keys username and password",
    ),
    "fps": (_is_rate, "frames per second, 0.01 to 120, or 0 for the camera's own rate"),
    "width": (lambda value: _is_integer(value, 0, 7680), "pixels, 0 to 7680, 0 for the camera's own"),
    "crop": (_is_box_or_none, EXPECTED_BOX),
    "rotate": (lambda value: _number(value) in (0, 90, 180, 270), "0, 90, 180 or 270"),
    "grayscale": (_is_bool, "true or false"),
    "privacy_masks": (_are_boxes, "a list of " + EXPECTED_BOX),
    "jpeg_quality": (lambda value: _is_integer(value, 1, 100), "1 to 100"),
    "frozen_after": (_is_duration, "seconds, 0 to 86400, 0 for never"),
    # Read by detection, and not by the producer.
    "detection_frame_rate": (_is_rate, "frames per second, 0.01 to 120, or 0 for none"),
    "blur_faces": (_is_bool, "true or false"),
}
REQUIRED = ("id", "url")
LOGIN = ("username", "password", "credentials_secret")


def _shown(option, value):
    if option in ("url", "substream") and isinstance(value, str):
        return repr(_shown_url(value))
    # A user's name may be the password that was written on the wrong line.
    return "(hidden)" if option in ("username", "password", "url", "substream") else repr(value)


def _camera_problems(where, camera, runtime):
    if not isinstance(camera, dict):
        shown = repr(_shown_url(camera)) if isinstance(camera, str) else "a " + type(camera).__name__
        return [f"{where} is {shown}; expected a mapping with id and url"]
    problems = [
        f"{where} has the unknown option {option!r}; expected any of {', '.join(CHECKS)}"
        for option in camera
        if option not in CHECKS
    ]
    problems += [
        f"{where}.{option} is not set; expected {CHECKS[option][1]}" for option in REQUIRED if option not in camera
    ]
    problems += [
        f"{where}.{option} is {_shown(option, camera[option])}; expected {expected}"
        for option, (good, expected) in CHECKS.items()
        if option in camera and not good(camera[option])
    ]
    # What is wrong with them together is said of those that are right alone.
    return problems or [f"{where}.{problem}" for problem in _clashes(camera, runtime)]


def _clashes(camera, runtime):
    """Yield what does not go together."""
    url, login = camera["url"], {option for option in LOGIN if option in camera}
    if not _is_stream(url):
        for option in ("substream",) + LOGIN:
            if option in camera:
                yield f"{option} is set; expected none, as only a camera on the network has one"
    elif "@" in urlsplit(url).netloc and login:
        yield f"url names a user, and {sorted(login)[0]} is set; expected one of both"
    if "password" in login and "username" not in login:
        yield "username is not set; expected a user's name, as password is"
    if "credentials_secret" in login:
        if len(login) > 1:
            yield "credentials_secret is set, and username, too; expected one of both"
        if runtime != "kubernetes":
            yield (
                f"credentials_secret is {camera['credentials_secret']!r}; expected username and password, from a vault or a "
                f"file, as workload_runtime={runtime} has no Secrets but those that it makes"
            )
    elif "username" in login and url.lower().startswith("rtsp"):
        length = len(":".join(quote(camera.get(option, ""), safe="!$&'()*+,;=") for option in ("username", "password")))
        if length > MAX_RTSP_LOGIN:
            yield (
                f"password is {length} characters long with the user, as they stand in a URL; expected at most "
                f"{MAX_RTSP_LOGIN} for RTSP"
            )
    if url.lower().startswith("usb:") and runtime != "local":
        yield (
            f"url is {url!r}; expected a camera on the network, as pods are given no devices (Pod Security restricted): let an "
            "RTSP server share the camera, or run the pipeline on its machine with workload_runtime=local"
        )


def camera_problems(cameras, variable="cameras", runtime="local"):
    """Return every problem of the list, one message each."""
    if not isinstance(variable, str):
        raise AnsibleFilterError("camera_problems: variable must be a name")
    if not isinstance(cameras, (list, tuple)):
        shown = repr(_shown_url(cameras)) if isinstance(cameras, str) else "a " + type(cameras).__name__
        return [f"{variable} is {shown}; expected a list of mappings, each with id and url"]
    if not cameras:
        return [f"{variable} is empty; expected at least one camera with id and url"]
    problems = []
    first = {}
    for number, camera in enumerate(cameras):
        where = f"{variable}[{number}]"
        problems += _camera_problems(where, camera, runtime)
        if not isinstance(camera, dict) or not isinstance(camera.get("id"), str):
            continue
        known = first.setdefault(camera["id"], where)
        if known != where:
            problems.append(f"{where}.id is {camera['id']!r}, which is {known}'s; expected an id of its own")
    return problems


class FilterModule:
    """The collection's filters about cameras."""

    def filters(self):
        """Name and function of each."""
        return {"camera_problems": camera_problems}
