#!/usr/bin/python
# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: kubernetes_workload_info
short_description: Tell what of the pipeline runs on a cluster
version_added: 1.1.0
description:
  - Lists every pod of the pipeline with its address, state and node, as M(cctv.pipeline.local_workload_info) lists what runs on one machine.
author: The cctv.pipeline contributors (@cctv-pipeline)
extends_documentation_fragment:
  - cctv.pipeline.kubernetes
options:
  namespace:
    description: The pipeline's namespace.
    type: str
    required: true
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
"""

EXAMPLES = r"""
- name: What runs?
  cctv.pipeline.kubernetes_workload_info:
    namespace: cctv
"""

RETURN = r"""
running:
  description: Whether there are workloads of the pipeline.
  returned: always
  type: bool
pods:
  description: One entry a pod, in the order of their names.
  returned: always
  type: list
  elements: dict
  sample:
    - {name: video-7d4b9c6d5-x2x4v, workload: video, component: video, labels: {}, address: 10.244.1.7, ports: {http: 30163}, state: running,
       ready: true, why: "", node: worker1, host_address: 192.0.2.11, restarts: 0, log: kubectl -n cctv logs video-7d4b9c6d5-x2x4v}
table:
  description: The same as lines of text, and a line for each workload whose pods cannot be created.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cctv.pipeline.plugins.module_utils import rollout
from ansible_collections.cctv.pipeline.plugins.module_utils.kubernetes_api import (
    ARGUMENTS,
    COMPONENT,
    NAME,
    PART_OF,
    Api,
    Problem,
    need_library,
)
from ansible_collections.cctv.pipeline.plugins.module_utils.table import lines

TITLES = ["pod", "state", "ready", "restarts", "node", "listens on"]


def described(pod):
    """Return what a person, or the playbooks, want to know of a pod."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    labels = metadata.get("labels") or {}
    hindrance = rollout.of_pod(pod)
    return {
        "name": metadata["name"],
        "workload": labels.get(NAME, ""),
        "component": labels.get(COMPONENT, ""),
        "labels": labels,
        "address": status.get("podIP", ""),
        "ports": {
            port.get("name", str(port["containerPort"])): port["containerPort"]
            for container in pod["spec"]["containers"]
            for port in container.get("ports") or []
        },
        "state": rollout.state(pod),
        "ready": rollout.ready(pod),
        "why": hindrance.text if hindrance else "",
        "node": pod["spec"].get("nodeName", ""),
        "host_address": status.get("hostIP", ""),
        "restarts": rollout.restarts(pod),
        "log": "kubectl -n %s logs %s" % (metadata["namespace"], metadata["name"]),
    }


def table(pods, workloads, events):
    """Return what a person wants to know of the pods as lines."""
    rows = [
        [
            pod["name"],
            pod["state"],
            "yes" if pod["ready"] else "no",
            str(pod["restarts"]),
            pod["node"] or "-",
            ":".join(filter(None, [pod["address"], ",".join(map(str, sorted(pod["ports"].values())))])) or "-",
        ]
        for pod in pods
    ]
    missing = ((workload, rollout.of_creation(workload, events)) for workload in workloads)
    return lines([TITLES] + rows, right=(3,)) + [
        "%s: %s" % (rollout.title(workload), hindrance) for workload, hindrance in missing if hindrance
    ]


def look(api, namespace):
    """Return every pod, the workloads, and events where some workload has too few pods; raises Problem."""
    core, apps = ("%s/namespaces/%s/" % (group, namespace) for group in ("/api/v1", "/apis/apps/v1"))
    listed = api.items(core + "pods", labelSelector=PART_OF)
    workloads = [
        dict(workload, kind=kind)
        for kind in ("Deployment", "StatefulSet")
        for workload in api.items("%s%ss" % (apps, kind.lower()), labelSelector=PART_OF)
    ]
    # Only they tell why a StatefulSet has too few pods.
    few = any((w.get("status") or {}).get("replicas", 0) < rollout.wanted(w) for w in workloads)
    pods = sorted((described(pod) for pod in listed), key=lambda pod: pod["name"])
    return pods, workloads, api.readable(core + "events") if few else []


def main():
    module = AnsibleModule(
        argument_spec=dict(ARGUMENTS, namespace={"type": "str", "required": True}),
        supports_check_mode=True,
    )
    need_library(module)
    params = module.params
    try:
        api = Api(params["kubeconfig"], params["context"])
        pods, workloads, events = look(api, params["namespace"])
    except Problem as problem:
        module.fail_json(msg=str(problem))
    module.exit_json(changed=False, running=bool(workloads), pods=pods, table=table(pods, workloads, events))


if __name__ == "__main__":
    main()
