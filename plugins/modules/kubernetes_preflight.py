#!/usr/bin/python
# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: kubernetes_preflight
short_description: Look for what would keep the pipeline from running on a cluster
version_added: 1.1.0
description:
  - Checks the kubeconfig, the API server, the namespace, what the kubeconfig may do there, and what an administrator provides; returns every
    problem at once instead of failing at the first.
  - What the kubeconfig may not look at, such as storage classes, is left out.
  - Warns when the namespace does not enforce Pod Security C(restricted).
author: The cctv.pipeline contributors (@cctv-pipeline)
extends_documentation_fragment:
  - cctv.pipeline.kubernetes
options:
  namespace:
    description: The pipeline's namespace.
    type: str
    required: true
  rules:
    description: What the kubeconfig must be allowed to do in the namespace, as in a Role.
    type: list
    elements: dict
    default: []
    suboptions:
      apiGroups:
        description: API groups.
        type: list
        elements: str
        required: true
      resources:
        description: Resources, and subresources as in V(pods/log).
        type: list
        elements: str
        required: true
      verbs:
        description: Verbs.
        type: list
        elements: str
        required: true
  storage_classes:
    description: Storage classes that must be there; an empty name stands for the default one.
    type: list
    elements: dict
    default: []
    suboptions:
      variable:
        description: The variable that names it.
        type: str
        required: true
      name:
        description: Its name.
        type: str
        required: true
  priority_classes:
    description: Priority classes that must be there. An empty name asks for none.
    type: list
    elements: dict
    default: []
    suboptions:
      variable:
        description: The variable that names it.
        type: str
        required: true
      name:
        description: Its name.
        type: str
        required: true
  node_ports:
    description: Ports that no Service but ours may have on the nodes.
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
      service:
        description: Our Service, which may have it already.
        type: str
        required: true
  metrics_for:
    description: What needs the metrics API, as V(variable=value); nothing does when empty.
    type: str
    default: ""
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
"""

EXAMPLES = r"""
- name: Look for what is missing
  cctv.pipeline.kubernetes_preflight:
    namespace: cctv
    rules:
      - apiGroups: [apps]
        resources: [deployments]
        verbs: [get, patch, create]
    storage_classes:
      - variable: workload_storage_class
        name: ""
  register: found
"""

RETURN = r"""
problems:
  description: A line for each problem, with the variable, its value and what is expected.
  returned: always
  type: list
  elements: str
"""

import re

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cctv.pipeline.plugins.module_utils import kubernetes_refusal
from ansible_collections.cctv.pipeline.plugins.module_utils.kubernetes_api import (
    ARGUMENTS,
    Api,
    Problem,
    need_library,
)

# The oldest whose server-side apply and Pod Security the manifests are known to suit.
OLDEST = (1, 30)
USUAL_NODE_PORTS = range(30000, 32768)
ADMIN = kubernetes_refusal.ADMIN
DEFAULT = "storageclass.kubernetes.io/is-default-class"
NOT_TOLD = (401, 403)


def covers(rule, group, resource, verb):
    """Return whether a rule that the server told allows something."""

    def has(field, *values):
        return set(rule.get(field) or ()) & {"*", *values}

    __, slash, subresource = resource.partition("/")
    return (
        not rule.get("resourceNames")
        and has("verbs", verb)
        and has("apiGroups", group)
        and has("resources", resource, "*/" + subresource if slash else resource)
    )


def missing(wanted, told):
    """Return (group, resource, verb) of what no rule that was told allows."""
    return [
        (group, resource, verb)
        for rule in wanted
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if not any(covers(given, group, resource, verb) for given in told)
    ]


def listed(lacking):
    """Return rights as one line."""
    verbs = {}
    for group, resource, verb in lacking:
        verbs.setdefault(".".join(filter(None, [resource, group])), []).append(verb)
    resources = {}
    for resource, of in verbs.items():
        resources.setdefault(", ".join(of), []).append(resource)
    return "; ".join("%s of %s" % (of, ", ".join(names)) for of, names in resources.items())


class Preflight:
    """Each check yields its problems."""

    def __init__(self, api, params, warn):
        self._api = api
        self._params = params
        self._warn = warn
        self._namespace = params["namespace"]

    def problems(self):
        """Yield all problems."""
        yield from self.version()
        there = True
        for problem in self.namespace():
            there = False
            yield problem
        if there:
            yield from self.rights()
            yield from self.node_ports()
        yield from self.storage_classes()
        yield from self.priority_classes()
        yield from self.metrics()

    def version(self):
        told = self._api.get("/version")
        found = tuple(int(re.sub(r"\D.*", "", told.get(part) or "0") or 0) for part in ("major", "minor"))
        if found < OLDEST:
            yield "%s: the API server is Kubernetes %s; expected %d.%d or newer" % (
                self._api.named,
                told.get("gitVersion"),
                *OLDEST,
            )

    def namespace(self):
        try:
            found = self._api.get("/api/v1/namespaces/%s" % self._namespace)
        except Problem as problem:
            if problem.code == 404:
                yield kubernetes_refusal.missing_namespace(self._namespace)
            elif problem.code != 403:
                raise
            # A Role cannot allow anything in a namespace that is not there.
            elif len(self._lacking()) == len(missing(self._params["rules"], [])):
                yield (
                    "workload_namespace=%s: there is no such namespace, or %s has no rights in it; expected both: %s"
                    % (
                        self._namespace,
                        self._api.named,
                        ADMIN,
                    )
                )
            return
        if (found.get("status") or {}).get("phase") == "Terminating":
            yield kubernetes_refusal.terminating_namespace(self._namespace)
        level = (found["metadata"].get("labels") or {}).get("pod-security.kubernetes.io/enforce", "privileged")
        if level != "restricted":
            self._warn(
                "workload_namespace=%s: the namespace enforces Pod Security %s; the pipeline meets restricted, which playbooks/admin.yml sets"
                % (self._namespace, level)
            )

    def _told(self):
        return self._api.post(
            "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
            {
                "kind": "SelfSubjectRulesReview",
                "apiVersion": "authorization.k8s.io/v1",
                "spec": {"namespace": self._namespace},
            },
        )["status"]

    def _allowed(self, group, resource, verb):
        resource, __, subresource = resource.partition("/")
        asked = {"namespace": self._namespace, "group": group, "resource": resource, "verb": verb}
        return self._api.post(
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            {
                "kind": "SelfSubjectAccessReview",
                "apiVersion": "authorization.k8s.io/v1",
                "spec": {"resourceAttributes": dict(asked, subresource=subresource)},
            },
        )["status"]["allowed"]

    def _lacking(self):
        told = self._told()
        lacking = missing(self._params["rules"], told.get("resourceRules") or [])
        if told.get("incomplete"):
            # An authorizer that cannot list what it allows can be asked.
            lacking = [right for right in lacking if not self._allowed(*right)]
        return lacking

    def rights(self):
        lacking = self._lacking()
        if lacking:
            yield (
                "%s: it may not do in namespace %s what the pipeline needs: %s; expected the Role that playbooks/admin.yml makes"
                % (self._api.named, self._namespace, listed(lacking))
            )

    def node_ports(self):
        variables = {}
        for entry in self._params["node_ports"]:
            variables.setdefault(entry["port"], []).append(entry)
        for port, entries in sorted(variables.items()):
            names = " and ".join("%s=%d" % (entry["variable"], port) for entry in entries)
            if len(entries) > 1:
                yield "%s: expected a port of its own for each" % names
                continue
            if self._ours(entries[0]):
                continue
            if port not in USUAL_NODE_PORTS:
                # A dry run does not tell, and a cluster may have been given other ones.
                self._warn("%s: most clusters take node ports from 30000 to 32767 only" % names)
            said = self._refused(port)
            if said:
                yield "%s: %s" % (names, said)

    def _ours(self, entry):
        try:
            found = self._api.get("/api/v1/namespaces/%s/services/%s" % (self._namespace, entry["service"]))
        except Problem as problem:
            if problem.code not in (403, 404):
                raise
            return False
        return any(port.get("nodePort") == entry["port"] for port in found["spec"]["ports"])

    def _refused(self, port):
        """Return why the server would not give a Service a port on the nodes; '' when it would."""
        service = {
            "kind": "Service",
            "apiVersion": "v1",
            "metadata": {"generateName": "preflight-"},
            "spec": {"type": "NodePort", "ports": [{"port": 1, "nodePort": port}]},
        }
        try:
            self._api.post("/api/v1/namespaces/%s/services" % self._namespace, service, dryRun="All")
        except Problem as problem:
            if problem.code == 422:
                return str(problem)
            if problem.code not in NOT_TOLD:
                raise
        return ""

    def storage_classes(self):
        if not self._params["storage_classes"]:
            return
        try:
            found = self._api.items("/apis/storage.k8s.io/v1/storageclasses")
        except Problem as problem:
            if problem.code not in NOT_TOLD:
                raise
            return
        names = sorted(each["metadata"]["name"] for each in found)
        default = any((each["metadata"].get("annotations") or {}).get(DEFAULT) == "true" for each in found)
        for entry in self._params["storage_classes"]:
            if entry["name"] in names or (not entry["name"] and default):
                continue
            yield "%s=%s: the cluster has no %s; expected %s" % (
                entry["variable"],
                entry["name"] or "''",
                "storage class of this name" if entry["name"] else "default storage class",
                "one of %s" % ", ".join(names) if names else "one, and it has none: %s" % ADMIN,
            )

    def priority_classes(self):
        for entry in self._params["priority_classes"]:
            if not entry["name"]:
                continue
            try:
                self._api.get("/apis/scheduling.k8s.io/v1/priorityclasses/%s" % entry["name"])
            except Problem as problem:
                if problem.code == 404:
                    yield "%s=%s: the cluster has no priority class of this name; expected one that is there: %s" % (
                        entry["variable"],
                        entry["name"],
                        ADMIN,
                    )
                elif problem.code not in NOT_TOLD:
                    raise

    def metrics(self):
        if not self._params["metrics_for"]:
            return
        try:
            self._api.get("/apis/metrics.k8s.io/v1beta1")
        except Problem as problem:
            if problem.code in (404, 503):
                yield "%s: the cluster serves no metrics, by which replicas are added; expected metrics-server: %s" % (
                    self._params["metrics_for"],
                    ADMIN,
                )
            elif problem.code not in NOT_TOLD:
                raise


def main():
    texts = {"type": "list", "elements": "str", "required": True}
    named = {"variable": {"type": "str", "required": True}, "name": {"type": "str", "required": True}}
    module = AnsibleModule(
        argument_spec=dict(
            ARGUMENTS,
            namespace={"type": "str", "required": True},
            rules={
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"apiGroups": texts, "resources": texts, "verbs": texts},
            },
            storage_classes={"type": "list", "elements": "dict", "default": [], "options": named},
            priority_classes={"type": "list", "elements": "dict", "default": [], "options": named},
            node_ports={
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "variable": {"type": "str", "required": True},
                    "port": {"type": "int", "required": True},
                    "service": {"type": "str", "required": True},
                },
            },
            metrics_for={"type": "str", "default": ""},
        ),
        supports_check_mode=True,
    )
    need_library(module)
    problems = []
    try:
        api = Api(module.params["kubeconfig"], module.params["context"])
        # What was found before the server fails is worth telling.
        for problem in Preflight(api, module.params, module.warn).problems():
            problems.append(problem)
    except Problem as problem:
        problems.append(str(problem))
    module.exit_json(changed=False, problems=problems)


if __name__ == "__main__":
    main()
