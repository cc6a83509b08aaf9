# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Times the module by the controller's clock and, when told so, returns failures instead of raising them."""

from __future__ import annotations

import re
import time

from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

# What shells, sudo and Ansible say, and the check that it belongs to; the first that matches counts.
CAUSES = (
    (
        "connection",
        re.compile(r"UNREACHABLE|Failed to connect to the host|Permission denied \(|Host key verification", re.I),
    ),
    (
        "become",
        re.compile(
            r"\bsudo\b|sudoers|\bsu:|\bdoas\b|become|privilege|missing \w+ password|incorrect \w+ password", re.I
        ),
    ),
    (
        "python",
        re.compile(
            r"python[\d.]*'?:? ?(?:\d+: )?(?:command )?not found|No such file or directory|minimum of Python|SyntaxError",
            re.I,
        ),
    ),
)


# What Ansible puts before what ssh says.
PREFACE = re.compile(
    r"^(?:Failed to connect to the host via ssh|Data could not be sent to remote host .*? over ssh): *"
)


def cause(message, unreachable):
    """Return the check that a failure belongs to."""
    if unreachable:
        return "connection"
    for check, pattern in CAUSES:
        if pattern.search(message):
            return check
    return "module"


def failure(result):
    """Return what a failed result says, on one line."""
    said = [str(result.get(key) or "").strip() for key in ("module_stderr", "module_stdout")]
    # Ansible's own words for such output only say that there was some.
    text = "\n".join(said).strip() or PREFACE.sub("", str(result.get("msg") or ""))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return "a module ended with rc=%s and said nothing" % result.get("rc")
    # A traceback says it at its end, others at their beginning.
    shown = lines[-1:] if any(line.startswith("Traceback") for line in lines) else lines[:3]
    return "; ".join(shown)


class ActionModule(ActionBase):
    _requires_connection = True
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        tolerant = boolean(self._task.args.get("tolerant", False))
        before = time.time()
        try:
            result = self._execute_module("cctv.pipeline.node_info", module_args=self._task.args, task_vars=task_vars)
        except AnsibleError as error:
            if not tolerant:
                raise
            unreachable = "ConnectionFailure" in type(error).__name__ or "AuthenticationFailure" in type(error).__name__
            result = {"failed": True, "unreachable": unreachable, "msg": str(error)}
        asked = [before, time.time()]
        if tolerant and (result.get("failed") or result.get("unreachable")):
            message = failure(result)
            check = cause(message, result.get("unreachable"))
            return {"changed": False, "node": {}, "error": {"check": check, "message": message}, "asked": asked}
        result["asked"] = asked
        return result
