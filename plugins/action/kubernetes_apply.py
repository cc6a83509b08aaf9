# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Applies manifests through kubernetes.core, first dry; documented in the module of the same name."""

from __future__ import annotations

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.cctv.pipeline.plugins.module_utils.manifests import title
from ansible_collections.cctv.pipeline.plugins.plugin_utils.apply_problem import explain
from ansible_collections.cctv.pipeline.plugins.plugin_utils.configuration import annotate, hashes

FIELD_MANAGER = "cctv.pipeline"
# What the server writes by itself.
NOISE = ("managedFields", "generation", "resourceVersion", "uid", "creationTimestamp", "selfLink")
HIDDEN = "(secret)"


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        arguments = self.validate_argument_spec(
            {
                "manifests": {"type": "list", "elements": "dict", "required": True},
                "read": {"type": "dict", "default": {}},
                "kubeconfig": {"type": "path"},
                "context": {"type": "str"},
            }
        )[1]
        self.connection = {name: arguments[name] for name in ("kubeconfig", "context") if arguments[name]}
        self.named = "kubeconfig %s" % arguments["kubeconfig"] if arguments["kubeconfig"] else "the kubeconfig"
        self.task_vars = task_vars
        secrets = [manifest for manifest in arguments["manifests"] if manifest["kind"] == "Secret"]
        others = [manifest for manifest in arguments["manifests"] if manifest["kind"] != "Secret"]
        check, diff, no_log = self._task.check_mode, self._task.diff, self._task.no_log
        try:
            return self._apply(secrets, others, arguments["read"], check)
        finally:
            self._task.check_mode, self._task.diff, self._task.no_log = check, diff, no_log

    def _apply(self, secrets, others, read, check):
        # First all of it dry, so that nothing is half done when the server refuses a part.
        read = dict(read, **hashes(others))
        dry_secrets = self._each(secrets, dry=True)
        read.update(_versions(dry_secrets))
        dry = dry_secrets + self._each(annotate(others, read), dry=True)
        _refuse(dry)
        changed = any(each["changed"] for each in dry)
        if changed and not check:
            done = self._each(secrets, dry=False) if any(each["changed"] for each in dry_secrets) else dry_secrets
            read.update(_versions(done))
            done = done + self._each(annotate(others, read), dry=False)
            _refuse(done)
        return {
            "changed": changed,
            "read": read,
            "applied": [_identity(manifest) for manifest in secrets + others],
            "diff": [each["diff"] for each in dry if each["changed"]],
        }

    def _each(self, manifests, dry):
        """Apply manifests; return for each what became of it."""
        if not manifests:
            return []
        # Only in diff mode does the module say what would change; and it would write Secrets to the system's log.
        self._task.check_mode, self._task.diff, self._task.no_log = dry, True, True
        said = self._execute_module(
            "kubernetes.core.k8s",
            dict(
                self.connection,
                resource_definition=manifests,
                apply=True,
                server_side_apply={"field_manager": FIELD_MANAGER, "force_conflicts": True},
                continue_on_error=True,
            ),
            task_vars=self.task_vars,
        )
        if said.get("failed"):
            raise AnsibleActionFail(explain(said, self.named))
        results = said["result"]["results"] if len(manifests) > 1 else [said]
        return [_judged(manifest, result, self.named) for manifest, result in zip(manifests, results)]


def _refuse(applied):
    problems = [each["problem"] for each in applied if each["problem"]]
    if problems:
        raise AnsibleActionFail("\n".join(problems))


def _identity(manifest):
    return {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "name": manifest["metadata"]["name"]}


def _judged(manifest, result, named):
    secret = manifest["kind"] == "Secret"
    problem = ""
    if result.get("error"):
        problem = "%s: %s" % (title(manifest), explain(result["error"], named))
    before, after = (_told((result.get("diff") or {}).get(side) or {}, secret) for side in ("before", "after"))
    changed = bool(before or after)
    return {
        "title": title(manifest),
        "problem": problem,
        "changed": changed,
        "diff": {"before_header": title(manifest), "after_header": title(manifest), "before": before, "after": after},
        "version": (result.get("result") or {}).get("metadata", {}).get("resourceVersion", "") if secret else None,
    }


def _told(side, secret):
    """Return one side of a difference without what the server writes by itself, and without what is secret."""
    told = {name: value for name, value in side.items() if name != "status"}
    metadata = {name: value for name, value in (told.pop("metadata", None) or {}).items() if name not in NOISE}
    if metadata:
        told["metadata"] = metadata
    for field in ("data", "stringData") if secret else ():
        if told.get(field):
            told[field] = dict.fromkeys(told[field], HIDDEN)
    return told


def _versions(applied):
    # A hash of a Secret would tell something of it to whoever may read a workload. Its version changes when it does.
    return {each["title"].replace(" ", "/"): each["version"] for each in applied if each["version"] is not None}
