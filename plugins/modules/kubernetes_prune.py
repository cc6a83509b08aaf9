#!/usr/bin/python
# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: kubernetes_prune
short_description: Delete what is on a cluster and no longer part of the pipeline
version_added: 1.1.0
description:
  - Deletes those objects of a namespace that have the label C(app.kubernetes.io/part-of=cctv-pipeline), are of the kinds that the pipeline's roles
    render, and are not to be kept.
  - Never deletes a claim for a volume, a namespace, or what another object owns.
  - A kind that the cluster does not have, or that the kubeconfig may not list, is left out, as nothing of it can have been made with the same
    kubeconfig; unless some of it is to be kept, which is an error.
author: The cctv.pipeline contributors (@cctv-pipeline)
extends_documentation_fragment:
  - cctv.pipeline.kubernetes
options:
  namespace:
    description: The pipeline's namespace.
    type: str
    required: true
  keep:
    description: What to keep, as manifests, or mappings with C(kind) and C(name).
    type: list
    elements: dict
    default: []
  all:
    description: Delete everything; nothing is to be kept.
    type: bool
    default: false
  components:
    description: Look only at objects with one of these values of the label C(app.kubernetes.io/component).
    type: list
    elements: str
    default: []
  wait_timeout:
    description: Seconds to wait until the pods of what was deleted have ended. Those that have not by then are told in RV(remaining).
    type: int
    default: 60
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Returns details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: full
"""

EXAMPLES = r"""
- name: Remove what is no longer rendered
  cctv.pipeline.kubernetes_prune:
    namespace: cctv
    keep: "{{ manifests }}"

- name: End the pipeline; its volumes stay
  cctv.pipeline.kubernetes_prune:
    namespace: cctv
    all: true
"""

RETURN = r"""
removed:
  description: What was deleted.
  returned: always
  type: list
  elements: str
  sample: [Deployment producer-gate, ConfigMap producer-gate]
remaining:
  description: Pods of deleted workloads that have not ended yet.
  returned: always
  type: list
  elements: str
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cctv.pipeline.plugins.module_utils.kubernetes_api import (
    ARGUMENTS,
    COMPONENT,
    NAME,
    PART_OF,
    Api,
    Problem,
    need_library,
)

POLL_S = 0.5
# In the order of deletion: what makes pods goes before what they read.
KINDS = {
    "HorizontalPodAutoscaler": "/apis/autoscaling/v2/namespaces/%s/horizontalpodautoscalers",
    "CronJob": "/apis/batch/v1/namespaces/%s/cronjobs",
    "Job": "/apis/batch/v1/namespaces/%s/jobs",
    "Deployment": "/apis/apps/v1/namespaces/%s/deployments",
    "StatefulSet": "/apis/apps/v1/namespaces/%s/statefulsets",
    "Ingress": "/apis/networking.k8s.io/v1/namespaces/%s/ingresses",
    "Service": "/api/v1/namespaces/%s/services",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/%s/networkpolicies",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/%s/poddisruptionbudgets",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/%s/rolebindings",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/%s/roles",
    "ServiceAccount": "/api/v1/namespaces/%s/serviceaccounts",
    "ConfigMap": "/api/v1/namespaces/%s/configmaps",
    "Secret": "/api/v1/namespaces/%s/secrets",
}
WORKLOADS = ("CronJob", "Job", "Deployment", "StatefulSet")


def kept(entries):
    """Return (kind, name) of what is to be kept; raises Problem for an entry that does not say."""
    found = set()
    for entry in entries:
        kind, name = entry.get("kind"), entry.get("name") or (entry.get("metadata") or {}).get("name")
        if not kind or not name:
            raise Problem("keep: an entry has no kind or no name; expected a manifest, or a mapping with both")
        found.add((kind, name))
    return found


def superfluous(api, namespace, keep, selector):
    """Yield (kind, name, path) of what is to go."""
    for kind, path in KINDS.items():
        try:
            listed = api.items(path % namespace, labelSelector=selector)
        except Problem as problem:
            if problem.code not in (403, 404) or any(kind == of for of, name in keep):
                raise
            continue
        for found in listed:
            metadata = found["metadata"]
            name = metadata["name"]
            mine = not metadata.get("ownerReferences") and "deletionTimestamp" not in metadata
            if mine and (kind, name) not in keep:
                yield kind, name, "%s/%s" % (path % namespace, name)


def remaining(api, namespace, workloads, timeout):
    """Wait until the pods of workloads have ended; return the names of those that have not."""
    end = time.monotonic() + timeout
    selector = "%s,%s in (%s)" % (PART_OF, NAME, ",".join(sorted(workloads)))
    while True:
        left = api.items("/api/v1/namespaces/%s/pods" % namespace, labelSelector=selector)
        if not left or time.monotonic() >= end:
            return sorted(pod["metadata"]["name"] for pod in left)
        time.sleep(POLL_S)


def main():
    module = AnsibleModule(
        argument_spec=dict(
            ARGUMENTS,
            namespace={"type": "str", "required": True},
            keep={"type": "list", "elements": "dict", "default": []},
            all={"type": "bool", "default": False},
            components={"type": "list", "elements": "str", "default": []},
            wait_timeout={"type": "int", "default": 60},
        ),
        supports_check_mode=True,
    )
    need_library(module)
    params = module.params
    if bool(params["keep"]) == params["all"]:
        module.fail_json(
            msg="keep names %d objects and all is %s: expected objects to keep, or all=true to delete everything"
            % (len(params["keep"]), str(params["all"]).lower())
        )
    selector = PART_OF
    if params["components"]:
        selector += ",%s in (%s)" % (COMPONENT, ",".join(params["components"]))
    namespace = params["namespace"]
    removed, left = [], []
    try:
        api = Api(params["kubeconfig"], params["context"])
        # All is looked at before anything is deleted.
        for kind, name, path in list(superfluous(api, namespace, kept(params["keep"]), selector)):
            if not module.check_mode:
                delete(api, path)
            removed.append((kind, name))
        workloads = {name for kind, name in removed if kind in WORKLOADS}
        if workloads and not module.check_mode:
            left = remaining(api, namespace, workloads, params["wait_timeout"])
    except Problem as problem:
        module.fail_json(msg=str(problem), removed=["%s %s" % each for each in removed])
    names = ["%s %s" % each for each in removed]
    module.exit_json(
        changed=bool(names),
        removed=names,
        remaining=left,
        diff={"before": "".join(name + "\n" for name in names), "after": ""},
    )


def delete(api, path):
    """Delete an object that may be gone by now."""
    try:
        api.delete(path)
    except Problem as problem:
        if problem.code != 404:
            raise


if __name__ == "__main__":
    main()
