"""A pipeline of the benchmark's own: its own folders, ports and loopback addresses, kept from run to run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PORTS = {
    "video_port": 31163,
    "ui_port": 31164,
    "elasticsearch_port": 10200,
    "tf_serving_grpc_port": 9500,
    "tf_serving_rest_port": 9501,
    "kafka_port": 10092,
    "kafka_metrics_port": 10404,
    "zookeeper_port": 3181,
    "zookeeper_metrics_port": 10405,
}
URL = f"http://127.0.0.1:{PORTS['video_port']}"


class Pipeline:
    """Brought up by the playbook that a user runs, in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._env = os.environ | {
            "XDG_DATA_HOME": str(folder / "data"),
            "XDG_STATE_HOME": str(folder / "state"),
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "LC_ALL": "C.UTF-8",
        }

    def _play(self, playbook: str, **variables: Any) -> tuple[float, str]:
        extra = json.dumps(PORTS | {"local_runtime_network": "127.9"} | variables)
        began = time.monotonic()
        done = subprocess.run(
            ["ansible-playbook", playbook, "-e", extra],
            cwd=ROOT,
            env=self._env,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{playbook} failed:\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
        return time.monotonic() - began, done.stdout

    def up(self, cameras: list[dict[str, Any]], **variables: Any) -> tuple[float, int]:
        """Run site.yml; return its seconds and how many tasks said that they changed something."""
        seconds, output = self._play("site.yml", cameras=cameras, **variables)
        return seconds, sum(map(int, re.findall(r"changed=(\d+)", output)))

    def down(self) -> None:
        """End all processes."""
        self._play("playbooks/down.yml")

    def cameras(self) -> list[dict[str, Any]]:
        """What the video service says of its cameras."""
        with urllib.request.urlopen(f"{URL}/cameras", timeout=5) as answer:
            cameras: list[dict[str, Any]] = json.load(answer)["cameras"]
        return cameras

    def pids(self) -> dict[str, int]:
        """The processes that run now."""
        status = Path(self._env["XDG_STATE_HOME"], "cctv-pipeline", "status.json")
        return {name: said["pid"] for name, said in json.loads(status.read_text()).items()}
