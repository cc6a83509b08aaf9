"""`make status`: live in a terminal, once elsewhere."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.runtime.test_local_runtime import ROOT, Machine, settings

ENVIRONMENT = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "TERM": "xterm"}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    made.supervisor()
    made.apply(settings(), made.app())
    try:
        yield made
    finally:
        made.supervisor("stopped")


def command(machine: Machine) -> list[str]:
    variables = {
        "local_runtime_state": machine.dirs["state_dir"],
        "local_runtime_data": machine.dirs["data_dir"],
        "local_runtime_python": sys.executable,
    }
    program = str(ROOT / "tools/status.py")
    return [sys.executable, program, "-i", "localhost,", "-c", "local", "-e", json.dumps(variables)]


class Terminal:
    """A program that believes that somebody looks."""

    def __init__(self, words: list[str]) -> None:
        self.keyboard, screen = pty.openpty()
        self.process = subprocess.Popen(
            words, env=os.environ | ENVIRONMENT, stdin=screen, stdout=screen, stderr=screen, start_new_session=True
        )
        os.close(screen)
        self.said = ""

    def until(self, what: str, seconds: float = 60) -> re.Match[str]:
        """Read on until it shows something that was not there before."""
        end = time.monotonic() + seconds
        seen = len(self.said)
        while not (found := re.compile(what).search(self.said, seen)):
            left = end - time.monotonic()
            assert left > 0 and self.process.poll() is None, f"no {what} in:\n{self.said}"
            if select.select([self.keyboard], [], [], left)[0]:
                self.said += os.read(self.keyboard, 65536).decode(errors="replace")
        return found


def test_a_terminal_shows_what_happens_until_q(machine: Machine) -> None:
    terminal = Terminal(command(machine))
    try:
        first = terminal.until(r"(\d\d:\d\d:\d\d), every 2 s; q ends[^\x00]*?app-0 +running +yes")
        later = terminal.until(r"(\d\d:\d\d:\d\d), every 2 s; q ends[^\x00]*?app-0 +running +yes")
        assert later[1] != first[1]
        pid = machine.pods()["app-0"]["pid"]
        os.kill(pid, signal.SIGKILL)
        terminal.until(rf"app-0 +running +yes +(?!{pid} )\d+ ")
        os.write(terminal.keyboard, b"q")
        assert terminal.process.wait(30) == 0
    finally:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.keyboard)


def test_a_pipe_gets_it_once(machine: Machine) -> None:
    done = subprocess.run(
        command(machine), env=os.environ | ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"app-0 +running +yes", done.stdout)) == 1
    assert "\x1b[?1049h" not in done.stdout
