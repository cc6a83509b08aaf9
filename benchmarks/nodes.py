"""Bare nodes as Molecule's scenario `cluster` makes them: containers on a network with no way out."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NAMESPACE = "cctv"
HOSTS = {"cp1": "10.210.0.10", "w1": "10.210.0.11", "w2": "10.210.0.12"}


class Nodes:
    """Bare nodes, whose key and connections are in ``folder``."""

    def __init__(self, folder: Path, bundle: Path) -> None:
        self.folder, self.bundle = folder, bundle
        self.env = os.environ | {
            "MOLECULE_EPHEMERAL_DIRECTORY": str(folder),
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.profile_tasks",
            "LC_ALL": "C.UTF-8",
        }
        self.ssh_config = folder / "ssh_config"
        lines = [
            "User debian\nIdentitiesOnly yes\nStrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR",
            f"IdentityFile {folder}/id_ed25519\nControlMaster auto\nControlPersist 60\nControlPath {folder}/hand-%h",
            *(f"Host {name}\nHostName {address}" for name, address in HOSTS.items()),
        ]
        self.ssh_config.write_text("\n".join(lines) + "\n")

    def play(self, playbook: str, **variables: Any) -> tuple[float, str]:
        """Run a playbook of the repository to its good end; returns its seconds and what it printed."""
        inventories = ("molecule/shared/inventory", "molecule/cluster/inventory")
        command = [
            "ansible-playbook",
            *(f"--inventory={path}" for path in inventories),
            "-e",
            json.dumps({"bundle_dir": str(self.bundle)} | variables),
            playbook,
        ]
        began = time.monotonic()
        ended = subprocess.run(command, cwd=ROOT, env=self.env, capture_output=True, text=True, check=False)
        if ended.returncode:
            sys.exit(f"{playbook} failed:\n{ended.stdout[-4000:]}{ended.stderr[-2000:]}")
        return time.monotonic() - began, ended.stdout

    def kubectl(self, *arguments: str) -> Any:
        """What the API server answers; nothing when it refuses."""
        command = ["sudo", "kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", *arguments]
        ended = subprocess.run(
            ["ssh", "-F", self.ssh_config, "cp1", shlex.join(command)], capture_output=True, text=True, check=False
        )
        return json.loads(ended.stdout) if ended.returncode == 0 else {}

    def running(self, workload: str) -> list[str]:
        """The pods of a workload that run."""
        chosen = ("--selector", f"app.kubernetes.io/name={workload}", "--field-selector", "status.phase=Running")
        found = self.kubectl("get", "pods", "--namespace", NAMESPACE, *chosen, "--output", "json")
        return [pod["metadata"]["name"] for pod in found.get("items", [])]

    def documents(self) -> int:
        """How many detections the search knows."""
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/elasticsearch-0:9200/proxy/detections/_count"
        return int(self.kubectl("get", "--raw", path).get("count", 0))

    def make(self) -> None:
        """Make them anew."""
        self.remove()
        self.play("molecule/shared/create.yml")

    def remove(self) -> None:
        """Remove them, and what is left of connections to them."""
        for socket in self.folder.glob("hand-*"):
            subprocess.run(
                ["ssh", "-O", "exit", "-o", f"ControlPath={socket}", "any"], capture_output=True, check=False
            )
        self.play("molecule/shared/destroy.yml")
