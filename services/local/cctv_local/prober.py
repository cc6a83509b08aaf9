"""Runs the pods' probes as a kubelet does: ``cctv-local-prober STATE_FOLDER``.

Reads ``probes.json`` (written by the workload module) anew whenever it changes, and writes ``status.json``: for each
process its pid, whether it is started and ready, why not, and how often a liveness probe had it killed. A process that
fails its liveness probe gets SIGTERM and, after the probe's grace period, SIGKILL; the supervisor starts it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault

from cctv_common.log import Log, configure

from cctv_local.supervised import connect, write_json

TURN_S = 0.2


async def check(probe: dict[str, Any], address: str, env: dict[str, str]) -> str:
    """Run a probe once; return why it failed, or an empty string."""
    timeout = float(probe["timeoutSeconds"])
    try:
        async with asyncio.timeout(timeout):
            if "httpGet" in probe:
                return await _http(address, probe["httpGet"]["port"], probe["httpGet"]["path"])
            if "tcpSocket" in probe:
                __, writer = await asyncio.open_connection(address, probe["tcpSocket"]["port"])
                writer.close()
                return ""
            return await _exec(probe["exec"]["command"], env)
    except TimeoutError:
        return f"no answer within {timeout:g} s"
    except (OSError, ValueError) as error:
        return str(error) or type(error).__name__


async def _http(address: str, port: int, path: str) -> str:
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {address}:{port}\r\nConnection: close\r\n\r\n".encode())
        line = (await reader.readline()).split(b" ", 2)
        if len(line) < 2 or not line[1].isdigit():
            return "no HTTP answer"
        code = int(line[1])
        return "" if 200 <= code < 400 else f"{path} says {code} {http.client.responses.get(code, '')}"
    finally:
        writer.close()


async def _exec(command: list[str], env: dict[str, str]) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, __ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return "" if process.returncode == 0 else output.decode(errors="replace").strip()[-200:] or "failed"


class Probing:
    """The state of one probe of one process, by Kubernetes' rules for thresholds."""

    def __init__(self, probe: dict[str, Any], since: float) -> None:
        self.probe = probe
        self.next = since + float(probe["initialDelaySeconds"])
        self.failures = 0
        self.passed = False
        self.why = "not probed yet"

    def due(self, now: float) -> bool:
        """Whether it is time to run it."""
        return now >= self.next

    def note(self, why: str, now: float) -> None:
        """Take the result of a run, an empty string for success."""
        self.next = now + float(self.probe["periodSeconds"])
        self.why = why
        self.failures = self.failures + 1 if why else 0
        if not why:
            self.passed = True
        elif self.failed:
            self.passed = False

    @property
    def failed(self) -> bool:
        """Whether it failed as often in a row as its threshold says."""
        return self.failures >= int(self.probe["failureThreshold"])


class Watched:
    """One incarnation of a process, from its start to its end."""

    def __init__(self, pod: dict[str, Any], pid: int, now: float) -> None:
        self.pod = pod
        self.pid = pid
        self.probing = {kind: Probing(probe, now) for kind, probe in pod["probes"].items()}
        self.killing: asyncio.Task[None] | None = None

    @property
    def started(self) -> bool:
        """Whether its startup probe has passed, if it has one."""
        startup = self.probing.get("startupProbe")
        return startup is None or startup.passed

    @property
    def why_not_ready(self) -> str:
        """Why it is not ready; empty when it is."""
        if not self.started:
            return self.probing["startupProbe"].why
        readiness = self.probing.get("readinessProbe")
        return "" if readiness is None or readiness.passed else readiness.why

    async def turn(self, clock: Callable[[], float]) -> str:
        """Run what is due; return why the process must be killed, or an empty string."""
        kinds = ("readinessProbe", "livenessProbe") if self.started else ("startupProbe",)
        for kind in kinds:
            probing = self.probing.get(kind)
            if probing is not None and probing.due(clock()):
                probing.note(await check(probing.probe, self.pod["address"], self.pod["env"]), clock())
                if probing.failed and kind != "readinessProbe":
                    return f"{kind} failed {probing.failures} times: {probing.why}"
        return ""

    def grace(self) -> float:
        """Seconds between SIGTERM and SIGKILL after a failed liveness probe."""
        probe = self.pod["probes"].get("livenessProbe", {})
        return float(probe.get("terminationGracePeriodSeconds", self.pod["grace"]))


class Prober:
    """Watches all processes of a state folder."""

    def __init__(self, state: Path, log: Log) -> None:
        self._state = state
        self._log = log
        self._rpc = connect(state)
        self._pods: dict[str, dict[str, Any]] = {}
        self._pods_read: tuple[int, int] = (0, 0)
        self._watched: dict[str, Watched] = {}
        self._turns: dict[str, asyncio.Task[str]] = {}
        self._killed: dict[str, int] = {}
        self._written: Any = None

    def _read_pods(self) -> None:
        path = self._state / "probes.json"
        try:
            stat = path.stat()
            if (stat.st_mtime_ns, stat.st_ino) != self._pods_read:
                self._pods = json.loads(path.read_text(encoding="utf-8"))
                self._pods_read = (stat.st_mtime_ns, stat.st_ino)
        except FileNotFoundError:
            self._pods = {}

    def _follow(self, running: dict[str, int]) -> None:
        for name in list(self._watched):
            watched = self._watched[name]
            if running.get(name) != watched.pid or self._pods.get(name) != watched.pod:
                del self._watched[name]
                if name in self._turns:
                    self._turns.pop(name).cancel()
        for name, pid in running.items():
            if name in self._pods and name not in self._watched:
                self._watched[name] = Watched(self._pods[name], pid, time.monotonic())

    async def turn(self) -> None:
        """See which processes run, probe what is due, kill what hangs, write the status."""
        self._read_pods()
        try:
            infos = await asyncio.to_thread(self._rpc.getAllProcessInfo)
        except (OSError, Fault) as error:  # a Fault: it is shutting down
            self._log.warning("supervisor away", problem=str(error))
            self._rpc = connect(self._state)
            return
        self._follow({info["name"]: info["pid"] for info in infos if info["pid"]})
        for name, watched in self._watched.items():
            turn = self._turns.get(name)
            if turn is not None and turn.done():
                del self._turns[name]
                why = turn.result()
                if why and watched.killing is None:
                    self._killed[name] = self._killed.get(name, 0) + 1
                    watched.killing = asyncio.create_task(self._kill(name, watched, why))
            if name not in self._turns and watched.killing is None:
                self._turns[name] = asyncio.create_task(watched.turn(time.monotonic))
        self._write()

    async def _kill(self, name: str, watched: Watched, why: str) -> None:
        self._log.warning("killed", process=name, pid=watched.pid, why=why)
        _signal(watched.pid, signal.SIGTERM)
        end = time.monotonic() + watched.grace()
        while time.monotonic() < end:
            if not _signal(watched.pid, 0):
                return
            await asyncio.sleep(TURN_S / 4)
        _signal(watched.pid, signal.SIGKILL)

    def _write(self) -> None:
        status = {
            name: {
                "pid": watched.pid,
                "digest": watched.pod["digest"],
                "started": watched.started,
                "ready": not watched.why_not_ready,
                "why": watched.why_not_ready,
                "killed": self._killed.get(name, 0),
            }
            for name, watched in self._watched.items()
        }
        if status != self._written:
            write_json(self._state / "status.json", status)
            self._written = status


def _signal(pid: int, number: int) -> bool:
    """Send a signal (0: none); return whether the process was there."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


async def run(state: Path) -> None:
    """Probe as long as the supervisor that started this process lives."""
    supervisor = os.getppid()
    prober = Prober(state, configure("prober", "info"))
    while os.getppid() == supervisor:
        await prober.turn()
        await asyncio.sleep(TURN_S)


def main() -> None:
    """Probe the processes of the state folder named by the first argument."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(Path(sys.argv[1])))
