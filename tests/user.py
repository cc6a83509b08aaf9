"""Runs commands as a user with folders of its own, and ends what they leave behind."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import checkout
import pytest

OUTPUT = checkout.ROOT / "tests/output"
TIMEOUT_S = 1200
# Lines of a failure that are told: more than these are in the log.
TOLD_LINES = 80
FAILED_TASK = re.compile(r"^(?:fatal|failed): \[.*?(?=^(?:TASK|PLAY|RUNNING HANDLER) |\Z)", re.MULTILINE | re.DOTALL)


class User:
    """Runs commands as the unprivileged user in ``folder``, which is its home."""

    def __init__(self, folder: Path, uid: int, gid: int) -> None:
        self.folder = folder
        self._uid, self._gid = uid, gid
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ANSIBLE_", "PYTEST_"))
        } | {
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            "NO_COLOR": "1",
            # Not root's PATH, which leads into root's home.
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "TMPDIR": str(self.make("tmp")),
        }

    def make(self, name: str) -> Path:
        """Make a folder of the user's."""
        path = self.folder / name
        path.mkdir()
        self.own(path)
        return path

    def own(self, path: Path) -> None:
        """Give the user a file, or a folder with all that is in it."""
        for each in (path, *path.rglob("*")):
            os.chown(each, self._uid, self._gid, follow_symlinks=False)

    def run(self, *command: str, cwd: Path, log: str, timeout_s: float = TIMEOUT_S, **environment: str) -> str:
        """Run a command to its good end; returns what it printed, which tests/output/``log`` keeps."""
        OUTPUT.mkdir(exist_ok=True)
        with (OUTPUT / log).open("a+") as output:
            start = output.tell()
            print(f"$ {' '.join(command)}", file=output, flush=True)
            ended = subprocess.run(
                command,
                cwd=cwd,
                env=self.environment | environment,
                user=self._uid,
                group=self._gid,
                extra_groups=[],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=timeout_s,
                check=False,
            )
            output.seek(start)
            printed = output.read()
        if ended.returncode:
            said = f"{' '.join(command)} ended with {ended.returncode}; all of it is in tests/output/{log}"
            pytest.fail(f"{said}:\n{_told(printed)}")
        return printed

    def processes(self) -> list[str]:
        """What runs with this home, or as this user, as "pid command"."""
        mark = f"HOME={self.folder}".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                ours = self._uid != os.getuid() and process.stat().st_uid == self._uid
                words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                # One that has ended and waits for its parent has no words.
                if words and (ours or mark in (process / "environ").read_bytes().split(b"\0")):
                    found.append(f"{process.name} {words.strip()}")
        return found

    def end(self) -> None:
        """End what still runs."""
        deadline = time.monotonic() + 10
        while (left := self.processes()) and time.monotonic() < deadline:
            for process in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(process.split()[0]), signal.SIGKILL)
            time.sleep(0.1)


def _told(printed: str) -> str:
    """The end of what a command printed, and Ansible's last failed task, which cleaning up may have left far above."""
    ends = [printed, *[task for task in FAILED_TASK.findall(printed) if "\n...ignoring" not in task][-1:]]
    return "\n\n".join("\n".join(end.splitlines()[-TOLD_LINES:]) for end in ends)
