#!/usr/bin/python
# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: local_preflight
short_description: Look for what would keep the local runtime from running on this machine
version_added: 1.0.0
description:
  - Checks ports, memory and disk, and returns every problem at once instead of failing at the first.
author: The cctv.pipeline contributors (@cctv-pipeline)
options:
  state_dir:
    description: Folder of state of the local runtime; ports that its own processes hold are no problem.
    type: path
    required: true
  ports:
    description: Ports on 127.0.0.1 that must be free.
    type: list
    elements: dict
    default: []
    suboptions:
      variable:
        description: The variable that sets the port.
        type: str
        required: true
      port:
        description: The port.
        type: int
        required: true
  disk:
    description: Room that is needed.
    type: list
    elements: dict
    default: []
    suboptions:
      variable:
        description: The variable that names the folder.
        type: str
        required: true
      path:
        description: The folder; it need not be there yet.
        type: path
        required: true
      mebibytes:
        description: Room that is needed.
        type: int
        required: true
  memory_mebibytes:
    description: Memory that must be available; what the runtime's own processes use counts as available.
    type: int
    default: 0
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
"""

EXAMPLES = r"""
- name: Look for a port in use
  cctv.pipeline.local_preflight:
    state_dir: ~/.local/state/cctv-pipeline
    ports:
      - variable: video_port
        port: 30163
  register: found
"""

RETURN = r"""
problems:
  description: A line for each problem, with the variable, its value and what is expected.
  returned: always
  type: list
  elements: str
"""

import os
import shutil
import socket

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cctv.pipeline.plugins.module_utils.local_runtime import Runtime


def in_use(port):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: what is only waiting to be forgotten by TCP is no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error.strerror
    return ""


def port_problems(wanted, own):
    by_port = {}
    for entry in wanted:
        by_port.setdefault(entry["port"], []).append(entry["variable"])
    for port, variables in sorted(by_port.items()):
        names = " and ".join("%s=%d" % (variable, port) for variable in variables)
        if not 0 < port < 65536:
            yield "%s: expected a port from 1 to 65535" % names
        elif len(variables) > 1:
            yield "%s: expected a port of its own for each" % names
        elif port not in own:
            why = in_use(port)
            if why:
                yield "%s: port %d of 127.0.0.1 cannot be had (%s); expected a free port" % (names, port, why.lower())


def room(path):
    """Return the free mebibytes of the file system that ``path`` is, or would be, on."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return shutil.disk_usage(path).free // 2**20


def available():
    """Return the available mebibytes of memory, by the kernel's estimate."""
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) // 1024
    return 0


def resident(pid):
    """Return the mebibytes of memory that a process uses, 0 when there is none."""
    try:
        with open("/proc/%d/statm" % pid, encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 2**20
    except (OSError, ValueError):
        return 0


def main():
    entry = {"variable": {"required": True}}
    module = AnsibleModule(
        argument_spec={
            "state_dir": {"type": "path", "required": True},
            "ports": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": dict(entry, port={"type": "int", "required": True}),
            },
            "disk": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": dict(
                    entry, path={"type": "path", "required": True}, mebibytes={"type": "int", "required": True}
                ),
            },
            "memory_mebibytes": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    runtime = Runtime(module.params["state_dir"])
    alive = runtime.supervisor.alive()
    pids = {name: info["pid"] for name, info in runtime.supervisor.processes().items() if info["pid"]} if alive else {}
    own = {port for pod in runtime.store().pods() if pod.name in pids for port in pod.ports.values()}
    problems = list(port_problems(module.params["ports"], own))
    for entry in module.params["disk"]:
        free = room(entry["path"])
        if free < entry["mebibytes"]:
            problems.append(
                "%s=%s: %d MiB are free there; expected %d MiB"
                % (entry["variable"], entry["path"], free, entry["mebibytes"])
            )
    memory = available() + sum(map(resident, pids.values()))
    if memory < module.params["memory_mebibytes"]:
        problems.append("memory: %d MiB are available; expected %d MiB" % (memory, module.params["memory_mebibytes"]))
    module.exit_json(changed=False, problems=problems)


if __name__ == "__main__":
    main()
