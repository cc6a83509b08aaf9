"""Where the replicas of the model server are now, and which of them answer."""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import socket
import threading
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import requests

LOOK_EVERY_S = 1.0
ANSWER_TIMEOUT_S = 0.5

Resolve = Callable[[str], list[str]]
"""All addresses of a host name; raises OSError."""


def is_name(url: str) -> bool:
    """Whether ``url`` has a host name that stands for all addresses behind it.

    That of https does not: its certificate is for the name.
    """
    split = urlsplit(url)
    try:
        ipaddress.ip_address(split.hostname or "")
    except ValueError:
        return split.scheme == "http"
    return False


def resolve(name: str) -> list[str]:
    """Ask the system."""
    return sorted({str(entry[4][0]) for entry in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)})


class Replicas:
    """Base URLs in turn, without those that failed.

    Names are looked up regularly, so that replicas which come, go or move are found; while a name cannot be looked up,
    its last addresses stay. A replica that failed is left out until it answers a request that no frame waits for.
    """

    def __init__(self, urls: Sequence[str], resolve: Resolve = resolve) -> None:
        self._said = list(urls)
        self._resolve = resolve
        self._addresses: dict[str, list[str]] = {}
        self._turn = itertools.count()
        self._failed: set[str] = set()
        self._stop = threading.Event()
        self._urls = self._look_up()
        threading.Thread(target=self._watch, name="replicas", daemon=True).start()

    def in_turn(self) -> list[str]:
        """The replicas that answer, another one first each time; all of them when none does."""
        urls = self._urls
        well = [url for url in urls if url not in self._failed] or urls
        turn = next(self._turn) % len(well)
        return well[turn:] + well[:turn]

    def failed(self, url: str) -> None:
        """Leave a replica out until it answers."""
        self._failed.add(url)

    def close(self) -> None:
        """Stop looking."""
        self._stop.set()

    def _watch(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            self._urls = self._look_up()
            self._failed.intersection_update(self._urls)
            for url in [url for url in list(self._failed) if _answers(url)]:
                self._failed.discard(url)

    def _look_up(self) -> list[str]:
        return [place for url in self._said for place in (self._places(url) if is_name(url) else [url])]

    def _places(self, url: str) -> list[str]:
        split = urlsplit(url)
        with contextlib.suppress(OSError):
            self._addresses[url] = self._resolve(split.hostname or "")
        port = f":{split.port}" if split.port else ""
        hosts = [f"[{address}]" if ":" in address else address for address in self._addresses.get(url, [])]
        return [split._replace(netloc=host + port).geturl() for host in hosts] or [url]


def _answers(url: str) -> bool:
    try:
        with requests.Session() as session:
            session.trust_env = False
            # What it answers is of no interest: one that hangs says nothing at all.
            session.get(url, timeout=ANSWER_TIMEOUT_S)
    except requests.RequestException:
        return False
    return True
