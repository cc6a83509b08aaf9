#!/usr/bin/python
# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: kubernetes_rollout
short_description: Wait until workloads on a cluster have rolled out, or say why they do not
version_added: 1.1.0
description:
  - Waits until every replica of the newest revision of each Deployment and StatefulSet is available, and none of an older one is left.
  - Ends before its limit when it is clear that a workload stays as it is; an image that cannot be pulled, a full quota, a configuration that the
    service refuses, a volume claim whose storage class is missing. A single failure says which workload and pod, why, what to do, what the cluster
    said and what the container logged last.
  - It changes nothing. What ran before an update that fails goes on.
author: The cctv.pipeline contributors (@cctv-pipeline)
extends_documentation_fragment:
  - cctv.pipeline.kubernetes
options:
  namespace:
    description: The workloads' namespace.
    type: str
    required: true
  component:
    description: Wait for the workloads with this value of the label C(app.kubernetes.io/component).
    type: str
  workloads:
    description: Wait for these.
    type: list
    elements: dict
    suboptions:
      kind:
        description: What it is.
        type: str
        choices: [Deployment, StatefulSet]
        required: true
      name:
        description: Its name.
        type: str
        required: true
  wait_timeout:
    description: Seconds to wait.
    type: int
    default: 180
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
    details: Waits for nothing in check mode, in which nothing was applied.
"""

EXAMPLES = r"""
- name: Wait for the video service
  cctv.pipeline.kubernetes_rollout:
    namespace: cctv
    component: video
"""

RETURN = r"""
workloads:
  description: The workloads, with the replicas that are available of those wanted.
  returned: success
  type: list
  elements: dict
  sample: [{kind: Deployment, name: video, available: 1, replicas: 1}]
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cctv.pipeline.plugins.module_utils import rollout
from ansible_collections.cctv.pipeline.plugins.module_utils.kubernetes_api import (
    ARGUMENTS,
    COMPONENT,
    Api,
    Problem,
    need_library,
)

POLL_S = 0.5
LOG_LINES = 15
LOG_ATTEMPTS = 3
NO_LOG = ("failed to try resolving symlinks", "unable to retrieve container logs")
KINDS = {"Deployment": "deployments", "StatefulSet": "statefulsets"}


class Watched:
    """The workloads that are waited for, and what belongs to them."""

    def __init__(self, api, namespace, component, named):
        self._api = api
        self._core = "/api/v1/namespaces/%s" % namespace
        self._apps = "/apis/apps/v1/namespaces/%s" % namespace
        self.namespace = namespace
        self._component = component
        self._named = named
        self._restarts = None

    def workloads(self):
        """Return them as they are now."""
        found = []
        for kind, plural in KINDS.items():
            if self._component:
                listed = self._api.items(
                    "%s/%s" % (self._apps, plural), labelSelector="%s=%s" % (COMPONENT, self._component)
                )
            else:
                listed = [
                    self._api.get("%s/%s/%s" % (self._apps, plural, workload["name"]))
                    for workload in self._named
                    if workload["kind"] == kind
                ]
            # A list's entries do not say what they are.
            found.extend(dict(workload, kind=kind) for workload in listed)
        return found

    def look(self):
        """Look at what the workloads consist of."""
        self.pods = self._api.items(self._core + "/pods")
        self.replica_sets = self._api.items(self._apps + "/replicasets")
        self.events = self._api.readable(self._core + "/events")
        if self._restarts is None:
            self._restarts = {pod["metadata"]["name"]: rollout.restarts(pod) for pod in self.pods}

    def hindrances(self, workload):
        """Return what stands in a workload's way."""
        new = rollout.pods_of(workload, self.pods, self.replica_sets)[0]
        found = [rollout.of_creation(workload, self.events)]
        for pod in new:
            found.append(rollout.of_pod(pod, self._restarts.get(pod["metadata"]["name"], 0)))
            if rollout.condition(pod, "PodScheduled").get("status") == "False":
                found.extend(rollout.of_claim(claim, workload, self.events) for claim in self._claims(pod))
        return [hindrance for hindrance in found if hindrance]

    def _claims(self, pod):
        names = [
            volume["persistentVolumeClaim"]["claimName"]
            for volume in pod["spec"].get("volumes") or []
            if "persistentVolumeClaim" in volume
        ]
        claims = self._api.readable(self._core + "/persistentvolumeclaims") if names else []
        return [claim for claim in claims if claim["metadata"]["name"] in names]

    def report(self, workload, hindrance):
        """Return what the cluster and the container said, as lines."""
        new, old = rollout.pods_of(workload, self.pods, self.replica_sets)
        names = {workload["metadata"]["name"], hindrance.pod, hindrance.claim}
        if not hindrance.pod:
            names |= {pod["metadata"]["name"] for pod in new}
        lines = ["  " + line for line in rollout.told(self.events, names)]
        if lines:
            lines.insert(0, "what the cluster said of it (events):")
        if hindrance.container:
            log = self._log(hindrance)
            lines.append("the last lines of %s's log:" % hindrance.pod if log else "%s logged nothing" % hindrance.pod)
            lines.extend("  " + line for line in log)
        running = sum(rollout.ready(pod) for pod in old)
        if running:
            lines.append("What ran before goes on: %d ready pods of the revision before." % running)
        return lines

    def _log(self, hindrance):
        path = "%s/pods/%s/log" % (self._core, hindrance.pod)
        query = {"container": hindrance.container, "tailLines": LOG_LINES}
        problem = None
        for attempt in range(LOG_ATTEMPTS):
            # A kubelet that starts a container again has neither log for a moment, and says so in the place of one.
            for previous in (hindrance.previous, not hindrance.previous):
                try:
                    said = self._api.text(path, **dict(query, **({"previous": "true"} if previous else {})))
                except Problem as error:
                    problem = error
                    continue
                if said and not said.startswith(NO_LOG):
                    return said.splitlines()
            time.sleep(POLL_S)
        return [str(problem)] if problem and problem.code not in (400, 404) else []


def wait(watched, timeout):
    """Return the workloads when they have rolled out; raises Problem when they do not."""
    began = time.monotonic()
    since, lacking, unanswered = {}, [], None
    while True:
        late = time.monotonic() - began >= timeout
        try:
            workloads = watched.workloads()
            lacking = [(workload, why) for workload, why in ((w, rollout.waiting_for(w)) for w in workloads) if why]
            if not lacking:
                return workloads
            watched.look()
            unanswered = None
        except Problem as problem:
            # It may be a control plane that restarts.
            if problem.code not in (0, 429, 500, 502, 503, 504):
                raise
            unanswered = problem
        if unanswered:
            if late:
                raise Problem("after %d s: %s" % (timeout, unanswered))
        else:
            now = time.monotonic()
            found = [(workload, why, h) for workload, why in lacking for h in watched.hindrances(workload)]
            since = {h.key: since.get(h.key, now) for workload, why, h in found}
            clear = [f for f in found if f[2].patience is not rollout.NEVER and now - since[f[2].key] >= f[2].patience]
            if clear or late:
                raise Problem(failure(watched, lacking, clear or found, 0 if clear else timeout))
        time.sleep(POLL_S)


def failure(watched, lacking, found, timeout):
    """Return what is wrong, as lines: each workload that lacks something, then more of the first that is to blame."""
    begins = "after %d s, " % timeout if timeout else ""
    lines = []
    for workload, why in lacking:
        lines.append(
            "%s%s in namespace %s has not rolled out: %s" % (begins, rollout.title(workload), watched.namespace, why)
        )
        # Replicas fail alike: once is enough.
        mine = [h for of, __, h in found if of is workload]
        lines.extend("  " + str(h) for h in mine[:2])
    if found:
        workload, why, hindrance = found[0]
        lines.extend(watched.report(workload, hindrance))
    return "\n".join(lines)


def main():
    module = AnsibleModule(
        argument_spec=dict(
            ARGUMENTS,
            namespace={"type": "str", "required": True},
            component={"type": "str"},
            workloads={
                "type": "list",
                "elements": "dict",
                "options": {
                    "kind": {"type": "str", "choices": list(KINDS), "required": True},
                    "name": {"type": "str", "required": True},
                },
            },
            wait_timeout={"type": "int", "default": 180},
        ),
        required_one_of=[("component", "workloads")],
        mutually_exclusive=[("component", "workloads")],
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=False, workloads=[])
    need_library(module)
    params = module.params
    try:
        api = Api(params["kubeconfig"], params["context"])
        watched = Watched(api, params["namespace"], params["component"], params["workloads"])
        workloads = wait(watched, params["wait_timeout"])
    except Problem as problem:
        module.fail_json(msg=str(problem))
    module.exit_json(
        changed=False,
        workloads=[
            {
                "kind": workload["kind"],
                "name": workload["metadata"]["name"],
                "available": workload.get("status", {}).get("availableReplicas", 0),
                "replicas": rollout.wanted(workload),
            }
            for workload in workloads
        ],
    )


if __name__ == "__main__":
    main()
