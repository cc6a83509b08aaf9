# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Builds a bundle on the controller, and tells how far it is while it does."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.cctv.pipeline.plugins.plugin_utils import bundle_machine
from ansible_collections.cctv.pipeline.plugins.plugin_utils.build_graph import Build, Failed
from ansible_collections.cctv.pipeline.plugins.plugin_utils.bundle_parts import Parts
from ansible_collections.cctv.pipeline.plugins.plugin_utils.maven_repository import default_repository

PROGRAM = {
    "name": {"type": "str", "required": True},
    "package": {"type": "str"},
    "check": {"type": "list", "elements": "str"},
    "folder": {"type": "str", "choices": ["bin", "cni"]},
}
ARGUMENTS = {
    "dest": {"type": "path"},
    "archive": {"type": "path"},
    "registry": {
        "type": "dict",
        "options": {
            "address": {"type": "str", "required": True},
            "username": {"type": "str", "default": ""},
            "password": {"type": "str", "default": "", "no_log": True},
            "auth_file": {"type": "path", "default": ""},
            "ca_file": {"type": "path", "default": ""},
        },
    },
    "cache": {"type": "path", "required": True},
    "files": {"type": "path", "required": True},
    "suite": {"type": "str", "default": "bookworm"},
    "apt_sources": {"type": "list", "elements": "str", "default": []},
    "packages": {"type": "list", "elements": "str", "default": []},
    "go_modules": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "module": {"type": "str", "required": True},
            "ldflags": {"type": "str", "default": ""},
            "tags": {"type": "list", "elements": "str", "default": []},
            "cgo": {"type": "bool", "default": False},
            "weight": {"type": "int", "default": 10},
            "programs": {"type": "list", "elements": "dict", "required": True, "options": PROGRAM},
        },
    },
    "c_programs": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "go_module": {"type": "str", "required": True},
            "module": {"type": "str", "required": True},
            "source": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
            "defines": {"type": "dict", "default": {}},
            "check": {"type": "list", "elements": "str", "required": True},
        },
    },
    "wheels": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "requirements": {"type": "path", "required": True},
            "base": {"type": "path"},
            "built_with": {"type": "path"},
            "only": {"type": "list", "elements": "str", "default": []},
            "omit": {"type": "list", "elements": "str", "default": []},
            "exclude": {"type": "list", "elements": "str", "default": []},
            "strip": {"type": "list", "elements": "str", "default": []},
        },
    },
    "jars": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {"name": {"type": "str", "required": True}, "lock": {"type": "path", "required": True}},
    },
    "models": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "requirements": {"type": "list", "elements": "path", "required": True},
            "sources": {"type": "list", "elements": "path", "required": True},
            "module": {"type": "str", "required": True},
        },
    },
    "maven_repository": {"type": "str"},
    "images": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "tag": {"type": "str", "default": "{version}"},
            "context": {"type": "path"},
            "base": {"type": "str", "default": ""},
            "args": {"type": "dict", "default": {}},
            "sources": {"type": "list", "elements": "path", "default": []},
            "contents": {"type": "list", "elements": "str", "default": []},
            "packages": {"type": "list", "elements": "str", "default": []},
            "publish": {"type": "bool", "default": True},
        },
    },
    "timestamp": {"type": "int", "default": 0},
    "refresh": {"type": "bool", "default": False},
    "tar": {"type": "bool", "default": True},
    "jobs": {"type": "int", "default": 3},
}


ENDS = ("bundle", "tar", "archive")
"""Steps that make what a person asked for."""


class Interrupted(Exception):
    """The playbook is being ended."""


class ActionModule(ActionBase):
    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        options = self.validate_argument_spec(ARGUMENTS)[1]
        if not (options["dest"] or options["archive"] or options["registry"]):
            raise AnsibleActionFail("bundle_build wants one of dest, archive and registry")
        for name in ("dest", "archive", "cache", "files"):
            options[name] = options[name] and os.path.abspath(options[name])
        if options["jars"] and not options["maven_repository"]:
            options["maven_repository"] = default_repository()
        for image in options["images"]:
            image["context"] = image["context"] or os.path.join(
                options["files"], "images", image["name"].rsplit("/", 1)[-1]
            )
        try:
            with _signals_as_exceptions():
                result.update(self._build(options))
        except Failed as failed:
            raise AnsibleActionFail(str(failed)) from failed
        except Interrupted as interrupted:
            raise AnsibleActionFail("ended by a signal; the next run goes on where this one was") from interrupted
        return result

    def _build(self, options):
        display = Display()
        begin = time.monotonic()
        machine_go = bundle_machine.machine_go(options["files"])
        parts = Parts(options, machine_go)
        steps = parts.make()
        build = Build(options["cache"], options["jobs"], display.display)
        would = build.would(steps)
        problems = bundle_machine.problems(options, parts, would)
        if problems:
            raise Failed("This machine cannot build the bundle yet:\n" + "\n".join("- " + text for text in problems))
        if self._task.check_mode or not would:
            if would:
                display.display("%d of %d steps would be done: %s" % (len(would), len(steps), ", ".join(would)))
            return {"changed": bool(would), "steps": would, "seconds": round(time.monotonic() - begin, 1)}
        os.makedirs(options["cache"], exist_ok=True)
        with open(os.path.join(options["cache"], "lock"), "a+", encoding="utf-8") as lock:
            _take(lock, display)
            build = Build(options["cache"], options["jobs"], display.display)
            display.display(
                "%s of %d steps are to be done; their output is in %s/logs" % (len(would), len(steps), options["cache"])
            )
            build.run(steps)
        return {
            # Packages that are the same as before change nothing.
            "changed": any(step in ENDS or step.startswith("push-") for step in build.changed),
            "steps": build.changed,
            "step_seconds": build.seconds,
            "seconds": round(time.monotonic() - begin, 1),
        }


def _take(lock, display):
    """Wait until no other build uses the cache."""
    told = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not told:
                display.display("Waiting for another build that uses %s" % os.path.dirname(lock.name))
                told = True
            time.sleep(1)


class _signals_as_exceptions:
    """Lets a signal that ends the playbook end the build's commands first."""

    def __enter__(self):
        self.before = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                self.before[number] = signal.signal(number, self._raise)

    @staticmethod
    def _raise(number, _frame):
        raise Interrupted(number)

    def __exit__(self, *_what):
        for number, handler in self.before.items():
            signal.signal(number, handler)
