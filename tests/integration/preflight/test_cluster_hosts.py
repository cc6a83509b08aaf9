"""The hosts of a cluster are judged together before anything changes; here they are twice this machine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkout
import pytest
from ansible_collections.cctv.pipeline.plugins.plugin_utils.cluster_checks import CHECKS

Preflight = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def preflight(tmp_path: Path) -> Preflight:
    """Run the preflight with these hosts in kube_control_plane and kube_workers, making only the named checks."""

    def run(
        control_planes: list[str], workers: list[str], checks: list[str], *options: str, **variables: Any
    ) -> subprocess.CompletedProcess[str]:
        inventory = {
            "all": {
                "vars": {
                    "ansible_connection": "local",
                    "ansible_become": False,
                    "ansible_python_interpreter": sys.executable,
                    "bundle_dir": str(tmp_path / "bundle"),
                    "preflight_ignored_checks": sorted(set(CHECKS) - set(checks)),
                }
                | variables
            },
            "kube_control_plane": {"hosts": {name: {} for name in control_planes}},
            "kube_workers": {"hosts": {name: {} for name in workers}},
        }
        (tmp_path / "hosts.json").write_text(json.dumps(inventory))
        return subprocess.run(
            ["ansible-playbook", "-i", str(tmp_path / "hosts.json"), "playbooks/preflight.yml", *options],
            cwd=checkout.ROOT,
            env=os.environ | {"ANSIBLE_NOCOLOR": "true"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.mark.parametrize("options", [(), ("--check", "--diff")])
def test_problems_of_all_hosts_are_one_failure(preflight: Preflight, tmp_path: Path, options: tuple[str, ...]) -> None:
    ended = preflight(["cp1"], ["w1", "W_2"], ["hostname", "node_name", "bundle"], *options)
    assert ended.returncode == 2
    assert ended.stdout.count("failed=1") == 1 and "changed=1" not in ended.stdout
    told = re.search(r"because of (\d+) problems:\n((?: +- .*\n)+)", ended.stdout)
    assert told, ended.stdout
    expected = [
        rf"bundle_dir={tmp_path}/bundle: .*bundle\.json cannot be read: .*build it with playbooks/bundle\.yml",
        r"w1: its hostname is (\S+), as cp1's is",
        r"W_2: its hostname is (\S+), as cp1's is",
        r"W_2: node_name=W_2: expected a DNS name",
    ]
    lines = [line.strip().removeprefix("- ") for line in told[2].splitlines()]
    assert len(lines) == int(told[1]) == len(expected)
    assert [line for line, pattern in zip(lines, expected, strict=True) if not re.match(pattern, line)] == []


def test_an_even_control_plane_is_told_and_goes_on(preflight: Preflight) -> None:
    ended = preflight(["cp1", "cp2"], [], ["groups"], detection_enabled=False)
    assert ended.returncode == 0, ended.stdout
    assert "kube_control_plane has 2 hosts" in ended.stdout


def test_what_is_no_check_cannot_be_ignored(preflight: Preflight) -> None:
    ended = preflight(["cp1"], [], [], preflight_ignored_checks=["sawp"])
    assert ended.returncode == 2
    assert "preflight_ignored_checks" in ended.stdout and "swap" in ended.stdout and "sawp" in ended.stdout


def test_without_hosts_of_a_cluster_there_is_nothing_to_say(preflight: Preflight) -> None:
    # Of this machine's own preflight, which would run then, nothing is asked.
    ended = preflight([], [], list(CHECKS), "--tags", "never")
    assert ended.returncode == 0, ended.stdout
    assert "Could not match" not in ended.stderr + ended.stdout
