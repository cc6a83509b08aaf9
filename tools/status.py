"""Shows what runs and how frames flow: live in a terminal, until q or Ctrl-C; elsewhere what playbooks/status.yml says.

Arguments are for ansible-playbook, which finds out where the pipeline runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import termios
import time
import tty
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "collections"))

from ansible_collections.cctv.pipeline.plugins.module_utils.kubernetes_api import Api, Problem  # noqa: E402
from ansible_collections.cctv.pipeline.plugins.module_utils.live import Look, Rates, cameras, stages  # noqa: E402
from ansible_collections.cctv.pipeline.plugins.module_utils.local_runtime import Runtime  # noqa: E402
from ansible_collections.cctv.pipeline.plugins.module_utils.metrics_ports import has_metrics  # noqa: E402
from ansible_collections.cctv.pipeline.plugins.module_utils.reach import UNANSWERED, Direct, Proxied  # noqa: E402
from ansible_collections.cctv.pipeline.plugins.modules import (  # noqa: E402
    kubernetes_workload_info,
    local_workload_info,
)

PERIOD_S = 2.0
PLAYBOOK = ["ansible-playbook", str(ROOT / "playbooks/status.yml")]
HOME, REST, CLEAR_LINE = "\x1b[H", "\x1b[J", "\x1b[K"
ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
"""The terminal's other screen without a cursor, and back: what was there before is there again."""

Pods = list[dict[str, Any]]


def where(arguments: list[str]) -> dict[str, str]:
    """Ask the playbook where the pipeline runs; ends as it does when it fails."""
    print("Looking ...", end="\r", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "where.json"
        said = subprocess.run(
            [*PLAYBOOK, *arguments, "--extra-vars", json.dumps({"status_where": str(file)})],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if said.returncode or not file.exists():
            print(said.stdout, end="")
            sys.exit(said.returncode)
        found: dict[str, str] = json.loads(file.read_text())
        # From here, a remote machine cannot be looked at again without all of this.
        if found["connection"] != "local" and not found["namespace"]:
            print(said.stdout, end="")
            sys.exit(0)
        return found


def looker(found: dict[str, str]) -> Callable[[], tuple[Pods, list[str], Any]]:
    """Return what looks once: pods, the same as lines, and who asks them."""
    if found["namespace"]:
        api = Api(found["kubeconfig"], found["context"])
        asked = Proxied(api, found["namespace"])

        def cluster() -> tuple[Pods, list[str], Any]:
            pods, workloads, events = kubernetes_workload_info.look(api, found["namespace"])
            return pods, kubernetes_workload_info.table(pods, workloads, events), asked

        return cluster

    def machine() -> tuple[Pods, list[str], Any]:
        running, pods = local_workload_info.look(Runtime(found["state_dir"]))
        return pods, local_workload_info.table(pods) if running else ["Nothing runs; make up starts it."], Direct("")

    return machine


def metrics(asked: Any, pods: Pods, pool: ThreadPoolExecutor) -> dict[str, str]:
    """What pods count, of those that answer."""

    def ask(pod: dict[str, Any]) -> str:
        try:
            return str(asked.metrics(pod))
        except UNANSWERED:
            return ""

    running = [pod for pod in pods if pod["state"] == "running" and has_metrics(pod)]
    return dict(zip((pod["name"] for pod in running), pool.map(ask, running), strict=True))


@contextlib.contextmanager
def screen() -> Iterator[None]:
    """The terminal, for oneself; as it was afterwards."""
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard) if sys.stdin.isatty() else None
    try:
        if before is not None:
            tty.setcbreak(keyboard)
        sys.stdout.write(ENTER)
        yield
    finally:
        sys.stdout.write(LEAVE)
        sys.stdout.flush()
        if before is not None:
            termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def show(text: list[str]) -> None:
    """Write lines over those that are there, as many as fit."""
    width, height = shutil.get_terminal_size()
    shown = [line[:width] for line in text[: height - 1]]
    if len(text) > height - 1:
        shown[-1] = f"... and {len(text) - height + 2} more lines, in a larger window"[:width]
    sys.stdout.write(HOME + "".join(line + CLEAR_LINE + "\n" for line in shown) + REST)
    sys.stdout.flush()


def told_to_end(seconds: float) -> bool:
    """Wait; whether somebody pressed q meanwhile."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if not sys.stdin.isatty():
            time.sleep(left)
        elif select.select([sys.stdin], [], [], left)[0] and os.read(sys.stdin.fileno(), 1) in (b"q", b""):
            return True
    return False


def live(look: Callable[[], tuple[Pods, list[str], Any]]) -> None:
    """Look again and again."""
    before = None
    with screen(), ThreadPoolExecutor(8) as pool:
        while True:
            at = time.strftime("%H:%M:%S")
            try:
                pods, table, asked = look()
                now = Look(metrics(asked, pods, pool), time.monotonic())
                flow: list[str] = []
                if before is not None:
                    rates = Rates(before, now)
                    flow = [*stages(rates), "", *cameras(rates), ""]
                before = now
                show([f"{at}, every {PERIOD_S:g} s; q ends", "", *flow, *table])
            except (*UNANSWERED, Problem) as error:
                before = None
                show([f"{at}, every {PERIOD_S:g} s; q ends", "", *str(error).splitlines()])
            if told_to_end(PERIOD_S):
                return


def main() -> None:
    """Show it live, or once."""
    arguments = sys.argv[1:]
    if not sys.stdout.isatty():
        os.execvp(PLAYBOOK[0], [*PLAYBOOK, *arguments])
    with contextlib.suppress(KeyboardInterrupt):
        live(looker(where(arguments)))


if __name__ == "__main__":
    main()
