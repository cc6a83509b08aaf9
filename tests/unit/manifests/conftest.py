"""The roles' manifests, and what their preflights say, as Ansible gives them for a cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
ROLES = ("zookeeper", "kafka", "tf_serving", "consumer", "video", "producer")
TASKS = """
- ansible.builtin.include_role:
    name: cctv.pipeline.{{ role }}
    tasks_from: preflight
    public: true
- ansible.builtin.set_fact:
    made: >-
      {{ made | default({}) | combine({role: {
           'problems': lookup('ansible.builtin.vars', role ~ '_preflight_problems'),
           'manifests': query('ansible.builtin.template', *templates) | map('from_yaml_all') | map('list') | flatten(1)
                        | cctv.pipeline.complete(role, 'cctv')}}) }}
  vars:
    templates: "{{ query('ansible.builtin.fileglob', root ~ '/roles/' ~ role ~ '/templates/*.yaml.j2') | sort }}"
"""
PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.include_tasks: role.yml
      loop: "{{ roles_wanted }}"
      loop_control:
        loop_var: role
    - ansible.builtin.copy:
        content: "{{ made | to_json }}"
        dest: "{{ playbook_dir }}/made.json"
        mode: "0600"
"""

Made = dict[str, dict[str, Any]]
Render = Callable[..., Made]


@pytest.fixture(scope="session")
def render(tmp_path_factory: pytest.TempPathFactory) -> Render:
    """Gives for each role its manifests and its preflight's problems, with variables as a person sets them."""

    def make(*roles: str, **variables: object) -> Made:
        folder = tmp_path_factory.mktemp("rendered")
        (folder / "role.yml").write_text(TASKS)
        (folder / "play.yml").write_text(PLAY)
        said = {"roles_wanted": roles, "root": str(ROOT), "workload_runtime": "kubernetes"} | variables
        (folder / "variables.yml").write_text(yaml.safe_dump(json.loads(json.dumps(said))))
        done = subprocess.run(
            [
                *(sys.executable, "-m", "ansible", "playbook", "--inventory", "localhost,"),
                *("--extra-vars", f"@{folder}/variables.yml", str(folder / "play.yml")),
            ],
            env=os.environ
            | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_PYTHON_INTERPRETER": sys.executable},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        made: Made = json.loads((folder / "made.json").read_text())
        return made

    return make


@pytest.fixture(scope="session")
def manifests(render: Render) -> list[dict[str, Any]]:
    """Those of all roles, of a site with three brokers and cameras of both kinds."""
    made = render(
        *ROLES,
        zookeeper_replicas=3,
        kafka_replicas=3,
        cameras=[{"id": "door", "url": "rtsp://192.0.2.7/1"}, {"id": "sample", "url": "sample:bikes"}],
    )
    return [manifest for role in made.values() for manifest in role["manifests"]]
