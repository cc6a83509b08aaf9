"""Ports for what tests start."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import socket
from collections.abc import Iterator


def _ports() -> Iterator[int]:
    """The ports of this one of the processes that test side by side, none twice until all had their turn."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    # Below the range from which the system takes a client's port: a client that retries while a server is down could
    # otherwise connect to itself, and take the port for good.
    ports = list(range(20000 + worker, 32000, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))))
    random.shuffle(ports)
    return itertools.cycle(ports)


_PORTS = _ports()


def free_port(*hosts: str) -> int:
    """A port that nobody listens on now, at none of the hosts (127.0.0.1), and that nobody was told of lately."""
    for port in _PORTS:
        with contextlib.ExitStack() as held:
            try:
                for host in hosts or ("127.0.0.1",):
                    held.enter_context(socket.socket()).bind((host, port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")
