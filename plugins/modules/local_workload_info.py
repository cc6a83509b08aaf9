#!/usr/bin/python
# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: local_workload_info
short_description: Tell what the local runtime runs
version_added: 1.0.0
description:
  - Lists every replica with its addresses, state and log.
author: The cctv.pipeline contributors (@cctv-pipeline)
options:
  state_dir:
    description: Folder of state of the local runtime.
    type: path
    required: true
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
"""

EXAMPLES = r"""
- name: What runs?
  cctv.pipeline.local_workload_info:
    state_dir: ~/.local/state/cctv-pipeline
"""

RETURN = r"""
running:
  description: Whether the supervisor runs.
  returned: always
  type: bool
pods:
  description: One entry a replica, in the order of their names.
  returned: always
  type: list
  elements: dict
  sample:
    - {name: video-0, workload: video, component: video, labels: {}, address: 127.0.0.1, ports: {http: 30163}, state: running, ready: true,
       why: "", pid: 4711, since: 1763800000, killed: 0, log: /home/me/.local/state/cctv-pipeline/logs/video-0.log}
table:
  description: The same as lines of text.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cctv.pipeline.plugins.module_utils.local_runtime import Runtime
from ansible_collections.cctv.pipeline.plugins.module_utils.table import lines

TITLES = ["process", "state", "ready", "pid", "listens on", "log"]


def table(pods):
    """Return what a person wants to know of the pods as lines."""
    rows = [
        [
            pod["name"],
            pod["state"],
            "yes" if pod["ready"] else pod["why"] or "no",
            str(pod["pid"]),
            "%s:%s" % (pod["address"], ",".join(str(port) for port in sorted(pod["ports"].values()))),
            pod["log"],
        ]
        for pod in pods
    ]
    return lines([TITLES] + rows, right=(3,))


def look(runtime):
    """Return whether the supervisor runs, and every pod."""
    supervisor = runtime.supervisor
    running = supervisor.alive()
    processes = supervisor.processes() if running else {}
    status = supervisor.status() if running else {}
    pods = []
    for pod in runtime.store().pods():
        process, said = processes.get(pod.name, {}), status.get(pod.name, {})
        pods.append(
            {
                "name": pod.name,
                "workload": pod.workload,
                "component": pod.component,
                "labels": pod.labels,
                "address": pod.address,
                "ports": pod.ports,
                "state": process.get("statename", "STOPPED").lower(),
                "ready": bool(process.get("pid")) and process.get("pid") == said.get("pid") and said["ready"],
                "why": said.get("why", ""),
                "pid": process.get("pid", 0),
                "since": process.get("start", 0),
                "killed": said.get("killed", 0),
                "log": supervisor.log_of(pod.name),
            }
        )
    return running, sorted(pods, key=lambda pod: pod["name"])


def main():
    module = AnsibleModule(
        argument_spec={"state_dir": {"type": "path", "required": True}},
        supports_check_mode=True,
    )
    running, pods = look(Runtime(module.params["state_dir"]))
    module.exit_json(changed=False, running=running, pods=pods, table=table(pods))


if __name__ == "__main__":
    main()
