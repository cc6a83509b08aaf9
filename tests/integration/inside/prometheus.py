"""A real Prometheus that asks real services, and what the dashboard and the alert rules ask it."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import yaml
from ports import free_port

from tests.integration.conftest import ROOT, Daemon
from tests.integration.inside.conftest import Site

FILES = ROOT / "roles/monitoring/files"
RULES = FILES / "prometheus/cctv-pipeline.rules.yml"
DASHBOARD = json.loads((FILES / "grafana/cctv-pipeline.json").read_text())
NAMES = re.compile(r"\b(?:cctv|kafka|zookeeper|process)_\w+|\bup\b")
UNTIL_TROUBLE = {
    # What only exists since the first of its kind.
    "Calls without an answer",
}
RENDER = """\
- hosts: localhost
  connection: local
  gather_facts: false
  vars_files:
    - {root}/roles/monitoring/defaults/main.yml
    - {root}/roles/monitoring/vars/main.yml
  vars:
    ansible_python_interpreter: "{{{{ ansible_playbook_python }}}}"
    workload_running: {running}
  tasks:
    - ansible.builtin.template:
        src: {root}/roles/monitoring/templates/local/prometheus.yml.j2
        dest: {folder}/prometheus.yml
        mode: "0644"
"""


def queries() -> list[tuple[str, str]]:
    """Title and query of what panels show."""
    return [(panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]


def alerts() -> dict[str, str]:
    """Name and expression of each alert."""
    return {
        rule["alert"]: rule["expr"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    }


class Prometheus(Daemon):
    """Debian's, configured by the role."""

    def __init__(self, folder: Path, site: Site) -> None:
        folder.mkdir()
        self.url = f"http://127.0.0.1:{free_port()}"
        super().__init__("prometheus", folder, {})
        self.command = [
            *("prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"),
            *(f"--web.listen-address={self.url.removeprefix('http://')}", "--query.lookback-delta=10s"),
        ]
        pods = [
            {"name": name, "component": component, "address": "127.0.0.1", "ports": {"health": port}}
            for name, (component, port) in site.targets.items()
        ]
        pods += [
            {"name": "filebeat-0", "component": "filebeat", "address": "127.0.0.1", "ports": {"health": 9}},
            {"name": "elasticsearch-0", "component": "elasticsearch", "address": "127.0.0.1", "ports": {"search": 9}},
        ]
        (folder / "play.yml").write_text(RENDER.format(root=ROOT, running=json.dumps({"pods": pods}), folder=folder))
        subprocess.run(
            ["ansible-playbook", "-i", "localhost,", "-e", "monitoring_scrape_interval_seconds=1", folder / "play.yml"],
            check=True,
            cwd=ROOT,
        )
        (folder / RULES.name).write_text(RULES.read_text())

    def ask(self, path: str, **query: str) -> Any:
        """What its API says; none while it does not answer."""
        assert self.alive(), f"Prometheus has ended:\n{self.log[-4000:]}"
        try:
            with urllib.request.urlopen(
                f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}", timeout=10
            ) as answer:
                return json.load(answer)["data"]
        except ConnectionError:
            return None
        except urllib.error.HTTPError as error:
            if error.code == 503:  # it reads its log of before first
                return None
            raise AssertionError(f"{query}: {error.read().decode()}") from None
        except urllib.error.URLError:
            return None

    def query(self, text: str) -> list[dict[str, Any]]:
        """The series that answer a query."""
        for word, meant in (("$__rate_interval", "10s"), ("$camera", ".*")):
            text = text.replace(word, meant)
        return list(self.ask("query", query=text)["result"])

    def states(self) -> dict[str, list[dict[str, str]]]:
        """Labels of what is pending or fires, by alert."""
        found: dict[str, list[dict[str, str]]] = {}
        for alert in (self.ask("alerts") or {"alerts": []})["alerts"]:
            found.setdefault(alert["labels"]["alertname"], []).append(alert["labels"])
        return found
