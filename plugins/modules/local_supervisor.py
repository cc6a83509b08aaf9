#!/usr/bin/python
# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: local_supervisor
short_description: Start or stop the supervisor of the local runtime
version_added: 1.0.0
description:
  - Starts C(supervisord) with the configuration of a state folder and, beside it, the prober that runs the probes of its processes.
  - No maintained module starts a supervisor of one's own; M(community.general.supervisorctl) talks to one that runs.
author: The cctv.pipeline contributors (@cctv-pipeline)
options:
  state:
    description: Whether the supervisor, and with it every process of the local runtime, shall run.
    type: str
    choices: [started, stopped]
    default: started
  state_dir:
    description: Folder of the supervisor's socket, configuration and logs.
    type: path
    required: true
  data_dir:
    description: Folder of the volumes.
    type: path
    required: true
  bin_dir:
    description: Folder of the programs C(supervisord) and C(cctv-local-prober).
    type: path
    required: true
  version:
    description: Anything that changes when the prober's code does; it is then started anew.
    type: str
    default: ""
  wait_timeout:
    description: Seconds to wait for the supervisor to start, or to end with all its processes.
    type: int
    default: 60
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
"""

EXAMPLES = r"""
- name: Start the local runtime
  cctv.pipeline.local_supervisor:
    state_dir: ~/.local/state/cctv-pipeline
    data_dir: ~/.local/share/cctv-pipeline
    bin_dir: ~/.local/share/cctv-pipeline/venv/bin
"""

RETURN = r"""
socket:
  description: Where the supervisor listens.
  returned: always
  type: str
"""

import os
import subprocess
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cctv.pipeline.plugins.module_utils.local_runtime import PROBER, Runtime, prepare, program
from ansible_collections.cctv.pipeline.plugins.module_utils.supervised import Supervisor, write

CONFIGURATION = """\
[unix_http_server]
file={state}/supervisor.sock
chmod=0700

[supervisord]
logfile={state}/logs/supervisord.log
logfile_maxbytes=10MB
logfile_backups=2
pidfile={state}/supervisord.pid
minfds={files}
umask=077
identifier=cctv-pipeline

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix://{state}/supervisor.sock

[include]
files={state}/processes/*.conf

{prober}environment=VERSION="{version}"
"""
SOCKET_PATH_MAX = 107  # sizeof(sockaddr_un.sun_path) - 1


def configuration(params):
    state = params["state_dir"]
    supervisor = Supervisor(state)
    argv = [os.path.join(params["bin_dir"], "cctv-local-prober"), state]
    return CONFIGURATION.format(
        state=state.replace("%", "%%"),
        files=256,
        prober=program(PROBER, argv, supervisor.log_of(PROBER), 2),
        version=params["version"],
    )


def start(module, supervisor, text):
    if supervisor.ending():  # as another run asked
        supervisor.stop(module.params["wait_timeout"])
    state = module.params["state_dir"]
    changed = prepare(state, module.params["data_dir"])
    path = os.path.join(state, "supervisord.conf")
    try:
        with open(path, encoding="utf-8") as file:
            same = file.read() == text
    except FileNotFoundError:
        same = False
    if not same:
        write(path, text)
    if supervisor.alive():
        return bool(any(supervisor.update(lambda name: None))) or changed or not same
    Runtime(state).forget()
    daemon = subprocess.run(
        [os.path.join(module.params["bin_dir"], "supervisord"), "--configuration", path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "HOME": os.environ.get("HOME", "/")},
        cwd=state,
        check=False,
    )
    end = time.monotonic() + module.params["wait_timeout"]
    while not supervisor.alive():
        if daemon.returncode != 0 or time.monotonic() > end:
            module.fail_json(msg="supervisord does not start: %s" % daemon.stdout.decode(errors="replace").strip())
        time.sleep(0.05)
    return True


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"choices": ["started", "stopped"], "default": "started"},
            "state_dir": {"type": "path", "required": True},
            "data_dir": {"type": "path", "required": True},
            "bin_dir": {"type": "path", "required": True},
            "version": {"default": ""},
            "wait_timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    supervisor = Supervisor(module.params["state_dir"])
    socket = os.path.join(module.params["state_dir"], "supervisor.sock")
    if len(socket.encode()) > SOCKET_PATH_MAX:
        module.fail_json(
            msg="state_dir=%s is too long: a socket's path in it may have at most %d bytes"
            % (module.params["state_dir"], SOCKET_PATH_MAX)
        )
    alive = supervisor.alive()
    if module.check_mode:
        module.exit_json(changed=alive != (module.params["state"] == "started"), socket=socket)
    changed = alive
    try:
        if module.params["state"] == "started":
            changed = start(module, supervisor, configuration(module.params))
        elif alive:
            supervisor.stop(module.params["wait_timeout"])
    except TimeoutError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=changed, socket=socket)


if __name__ == "__main__":
    main()
