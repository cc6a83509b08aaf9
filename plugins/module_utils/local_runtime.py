# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes the machine's processes what the applied manifests say. The folder of state holds

==================  =============================================================================
store.json          by component, its manifests, environment and launcher; and the addresses that were given out
processes/N.conf    the supervisor's configuration of process N
pods/N/DIGEST/      what process N reads: pod.json and its volumes; a new digest is a new process
probes.json         what the prober watches; status.json is its answer
logs/N.log          what process N says
==================  =============================================================================
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import time

from ansible_collections.cctv.pipeline.plugins.module_utils.local_pods import Store
from ansible_collections.cctv.pipeline.plugins.module_utils.supervised import PROBER, Supervisor, write

EXIT_CONFIG = "exit status 78"
"""With this a service says that its configuration is wrong: starting it again helps nobody."""
STARTS_OF_A_CRASH_LOOP = 3
_PLACE = re.compile("\0([^\0]*)\0")
PROGRAM = """\
[program:{name}]
command={command}
startsecs=1
startretries=1000000
autorestart=true
stopwaitsecs={grace}
killasgroup=true
redirect_stderr=true
stdout_logfile={log}
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=2
"""


class Failed(Exception):
    """A workload that does not become ready."""


def program(name, argv, log, grace):
    """Return the supervisor's configuration of one process."""
    # The supervisor expands %(...)s in every value.
    command = " ".join(shlex.quote(word) for word in argv).replace("%", "%%")
    return PROGRAM.format(name=name, command=command, log=log.replace("%", "%%"), grace=grace)


class Runtime:
    """The local runtime of one state folder; ``network`` is by default what the last run gave."""

    def __init__(self, state, data="", network=""):
        self.state = state
        self.data = data
        self.supervisor = Supervisor(state)
        stored = self._load()
        self.components = stored["components"]
        self.network = network or stored["network"]
        self.addresses = stored["addresses"] if self.network == stored["network"] else {}

    def _path(self, *names):
        return os.path.join(self.state, *names)

    def _load(self):
        try:
            with open(self._path("store.json"), encoding="utf-8") as file:
                return json.load(file)
        except FileNotFoundError:
            return {"components": {}, "addresses": {}, "network": "127.0"}

    def _save(self, components, addresses):
        stored = {"components": components, "addresses": addresses, "network": self.network}
        write(self._path("store.json"), json.dumps(stored, indent=1, sort_keys=True))

    def forget(self):
        """Forget what was applied, but not the addresses: it runs again when it is applied again, as it is then."""
        for name in self.configured():
            os.unlink(self._path("processes", name + ".conf"))
        self._save({}, self.addresses)

    def store(self):
        """Return the Store of what was applied last."""
        return Store(self.components, self.network, self.addresses, lenient=True)

    def plan(self, components, lenient=False):
        """Return what would change, and nothing changed yet: a Plan. Raises Refused."""
        store = Store(components, self.network, self.addresses, lenient)
        pods = {pod.name: pod for pod in store.pods()}
        return Plan(self, components, store.addresses, pods)

    def configured(self):
        """Return process name -> the supervisor's configuration file of it, as it stands on disk."""
        try:
            names = [name for name in os.listdir(self._path("processes")) if name.endswith(".conf")]
        except FileNotFoundError:
            return {}
        found = {}
        for name in names:
            with open(self._path("processes", name), encoding="utf-8") as file:
                found[name[: -len(".conf")]] = file.read()
        return found

    def configuration(self, pod, launcher):
        """Return the supervisor's configuration of a pod's process."""
        argv = [launcher, self._path("pods", pod.name, pod.digest, "pod.json")]
        return program(pod.name, argv, self.supervisor.log_of(pod.name), pod.grace)


class Plan:
    """The way from what runs to what should; ``apply`` goes it."""

    def __init__(self, runtime, components, addresses, pods):
        self.runtime = runtime
        self.components = components
        self.addresses = addresses
        self.pods = pods
        # A component keeps the launcher that it was applied with, so that a new one moves only what is applied anew.
        self._wanted = {
            name: runtime.configuration(pod, components[pod.component]["launcher"]) for name, pod in pods.items()
        }
        self._there = runtime.configured()
        self.restarted = sorted(n for n in self._wanted if n in self._there and self._there[n] != self._wanted[n])
        self.added = sorted(set(self._wanted) - set(self._there))
        self.removed = sorted(set(self._there) - set(self._wanted))

    @property
    def changed(self):
        """Whether anything differs."""
        return bool(self.restarted or self.added or self.removed or self.components != self.runtime.components)

    def apply(self, component, timeout):
        """Write the files, restart what changed, wait until the component and what was restarted is ready.

        Returns whether the supervisor changed anything. Raises Failed with the last lines of what does not come up.
        """
        runtime = self.runtime
        for name in self.added + self.restarted:
            self._write_pod(self.pods[name])
            write(runtime._path("processes", name + ".conf"), self._wanted[name])
        for name in self.removed:
            os.unlink(runtime._path("processes", name + ".conf"))
        runtime._save(self.components, self.addresses)
        probes = {name: self._probes(pod) for name, pod in sorted(self.pods.items())}
        write(runtime._path("probes.json"), json.dumps(probes))
        starts = {name: _size(runtime.supervisor.log_of(name)) for name in self.pods}
        done = runtime.supervisor.update(lambda name: self._wait([name], timeout, starts))
        started = self._start_stopped()
        self._wait([n for n, pod in self.pods.items() if pod.component == component or n in done[0]], timeout, starts)
        self._tidy()
        return bool(done[0] or done[1] or done[2] or started)

    def _folder(self, pod):
        return self.runtime._path("pods", pod.name, pod.digest)

    def _folders(self, pod):
        places = {claim: os.path.join(self.runtime.data, "volumes", folder) for claim, folder in pod.claims.items()}
        for volume in list(pod.files) + pod.empty:
            places[volume] = os.path.join(self._folder(pod), "volumes", volume)
        return places

    def _resolved(self, pod):
        places = self._folders(pod)
        env = {key: _PLACE.sub(lambda match: places[match.group(1)], value) for key, value in pod.env.items()}
        argv = [_PLACE.sub(lambda match: places[match.group(1)], word) for word in pod.argv]
        return argv, env

    def _write_pod(self, pod):
        for volume, folder in self._folders(pod).items():
            os.makedirs(folder, mode=0o700, exist_ok=True)
            for name, content in pod.files.get(volume, {}).items():
                write(os.path.join(folder, os.path.basename(name)), content)
        argv, env = self._resolved(pod)
        os.makedirs(self._folder(pod), mode=0o700, exist_ok=True)
        write(
            os.path.join(self._folder(pod), "pod.json"),
            json.dumps({"argv": argv, "env": env, "folder": self._folder(pod), "image": pod.image}, indent=1),
        )

    def _probes(self, pod):
        env = self._resolved(pod)[1] if any("exec" in probe for probe in pod.probes.values()) else {}
        return {"digest": pod.digest, "address": pod.address, "grace": pod.grace, "probes": pod.probes, "env": env}

    def _start_stopped(self):
        processes = self.runtime.supervisor.processes()
        stopped = [n for n in self.pods if processes.get(n, {}).get("statename") in ("STOPPED", "EXITED", "FATAL")]
        for name in stopped:
            self.runtime.supervisor.rpc.startProcess(name, False)
        return stopped

    def _wait(self, names, timeout, log_starts):
        supervisor = self.runtime.supervisor
        starts = {name: set() for name in names}
        end = time.monotonic() + timeout
        while True:
            processes, status = supervisor.processes(), supervisor.status()
            waiting = {}
            for name in names:
                if name not in self.pods:  # the prober
                    continue
                process, said = processes[name], status.get(name, {})
                starts[name].add(process["start"])
                current = said.get("pid") == process["pid"] != 0 and said.get("digest") == self.pods[name].digest
                if current and said["ready"]:
                    continue
                if process["statename"] in ("BACKOFF", "EXITED", "FATAL"):
                    end_of_it = supervisor.last_exit(name)
                    if end_of_it == EXIT_CONFIG or len(starts[name]) >= STARTS_OF_A_CRASH_LOOP:
                        why = "%s ends as soon as it starts (%s)" % (name, end_of_it)
                        raise Failed(self._report(why, name, log_starts))
                waiting[name] = (said["why"] if current else "") or process["statename"].lower()
            if not waiting:
                return
            if time.monotonic() > end:
                name, reason = sorted(waiting.items())[0]
                why = "%s is not ready after %d s: %s" % (name, timeout, reason)
                raise Failed(self._report(why, name, log_starts))
            time.sleep(0.1)

    def _report(self, why, name, log_starts):
        supervisor = self.runtime.supervisor
        lines = supervisor.tail(name, start=log_starts.get(name, 0)) or ["(nothing)"]
        return "%s. The last lines of %s:\n%s" % (why, supervisor.log_of(name), "\n".join(lines))

    def _tidy(self):
        pods = self.runtime._path("pods")
        for name in os.listdir(pods):
            for digest in os.listdir(os.path.join(pods, name)):
                if name not in self.pods or digest != self.pods[name].digest:
                    shutil.rmtree(os.path.join(pods, name, digest))
            if name not in self.pods:
                os.rmdir(os.path.join(pods, name))


def _size(path):
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


def prepare(state, data):
    """Make the folders of a runtime; returns whether any was missing."""
    missing = False
    for path in (state, data, *(os.path.join(state, name) for name in ("processes", "pods", "logs"))):
        if not os.path.isdir(path):
            os.makedirs(path, mode=0o700)
            missing = True
    return missing


__all__ = ["PROBER", "Failed", "Plan", "Runtime", "prepare", "program"]
