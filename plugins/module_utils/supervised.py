# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The local runtime's supervisor: its socket, its configuration folder, and what a person wants to know of a process."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import socket
import tempfile
import time
from xmlrpc.client import Fault, ServerProxy, Transport

PROBER = "prober"
"""The one process of the supervisor that stands for no pod."""
LOG_LOOKED_AT = 16384


class _Connection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _SocketTransport(Transport):
    # The supervisor package brings such a transport, but the first run, and every check mode before it, has no package yet.
    def __init__(self, path, timeout):
        super().__init__()
        self._path = path
        self._timeout = timeout

    def make_connection(self, host):
        return _Connection(self._path, self._timeout)


class Supervisor:
    """A supervisor over its socket in ``state``; calls raise OSError when it is away."""

    def __init__(self, state, timeout=120):
        self.state = state
        self.rpc = ServerProxy(
            "http://localhost", transport=_SocketTransport(os.path.join(state, "supervisor.sock"), timeout)
        ).supervisor

    def alive(self):
        """Whether it runs, or is still busy ending its processes."""
        return self._state() != "gone"

    def ending(self):
        """Whether it is busy ending its processes, and takes no calls."""
        return self._state() == "ending"

    def _state(self):
        try:
            self.rpc.getState()
        except Fault:  # SHUTDOWN_STATE
            return "ending"
        except (OSError, http.client.HTTPException):
            return "gone"
        return "running"

    def processes(self):
        """Return name -> what the supervisor says of each process."""
        return {info["name"]: info for info in self.rpc.getAllProcessInfo()}

    def update(self, roll):
        """Make it do what its configuration files say; ``roll(name)`` is called after each restarted process.

        Returns the names that were added, changed and removed.
        """
        added, changed, removed = self.rpc.reloadConfig()[0]
        for name in removed:
            self._remove(name)
        for name in added:
            self.rpc.addProcessGroup(name)
        for name in changed:
            self._remove(name)
            self.rpc.addProcessGroup(name)
            roll(name)
        return added, changed, removed

    def _remove(self, name):
        self.rpc.stopProcessGroup(name)
        self.rpc.removeProcessGroup(name)

    def stop(self, wait):
        """End it and all its processes, if it is not about that already; wait up to ``wait`` seconds until it is gone."""
        with contextlib.suppress(Fault):  # SHUTDOWN_STATE
            self.rpc.shutdown()
        end = time.monotonic() + wait
        while self.alive():
            if time.monotonic() > end:
                raise TimeoutError("the supervisor did not end within %d s" % wait)
            time.sleep(0.1)

    def last_exit(self, name):
        """Return how the process ended last, as "exit status 1" or "terminated by SIGKILL", or "" when it did not lately."""
        # The RPC interface forgets the status of a process that ends before it counts as started.
        ends = re.findall(r"(?:exited|stopped): %s \(([^;)]*)" % re.escape(name), self.rpc.readLog(-LOG_LOOKED_AT, 0))
        return ends[-1] if ends else ""

    def status(self):
        """Return what the prober last wrote: name -> pid, digest, started, ready, why, killed."""
        try:
            with open(os.path.join(self.state, "status.json"), encoding="utf-8") as file:
                return json.load(file)
        except (OSError, ValueError):
            return {}

    def log_of(self, name):
        """Return the path of a process's log."""
        return os.path.join(self.state, "logs", name + ".log")

    def tail(self, name, lines=15, start=0):
        """Return the last lines that a process wrote to its log, from byte ``start`` on."""
        try:
            with open(self.log_of(name), "rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(start if start <= size else 0, size - 16384))
                return file.read().decode(errors="replace").splitlines()[-lines:]
        except OSError:
            return []


def write(path, text, mode=0o600):
    """Replace ``path`` at once with ``text``; nothing half written is ever there."""
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".new-")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
    os.replace(temporary, path)


__all__ = ["PROBER", "Fault", "Supervisor", "write"]
