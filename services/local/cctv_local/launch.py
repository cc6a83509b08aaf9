"""Turns itself into the process of a pod: ``cctv-local-exec POD.json``.

The environment comes from a file that only its owner can read, not from the supervisor's configuration or an argument
list, which anyone on the machine can. Exactly that environment is set, so nothing of the shell that once started the
supervisor leaks into a workload.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import sys
from typing import Any

EXIT_NOT_FOUND = 127  # what a shell says
PR_SET_PDEATHSIG = 1


def main() -> None:
    """Read the pod file named by the first argument and exec its program."""
    with open(sys.argv[1], encoding="utf-8") as file:
        pod: dict[str, Any] = json.load(file)
    program = shutil.which(pod["argv"][0], path=pod["env"].get("PATH"))
    if program is None:
        print(f"{pod['argv'][0]}: not found on PATH={pod['env'].get('PATH')}", file=sys.stderr, flush=True)
        raise SystemExit(EXIT_NOT_FOUND)
    # A supervisor that is killed takes its processes along; left alone, they would hold the ports of the next ones.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    os.umask(0o077)
    os.chdir(pod["folder"])
    os.execve(program, pod["argv"], pod["env"])
