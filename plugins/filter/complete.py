# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
name: complete
short_description: Add to manifests what every workload of the pipeline has
version_added: 1.0.0
description:
  - Adds namespace and labels, a workload's selector, what Pod Security C(restricted) asks for, and the environment that tells a
    container its own name and address and where it may write.
  - Adds what a workload needs to live well beside others on a cluster. Replicas are spread over nodes, and drained one at a time; pods of a
    Deployment leave a node that was lost soon; a NetworkPolicy lets through what the pipeline's parts have to say to each other, and nothing else.
  - What a manifest says itself is kept.
author: The cctv.pipeline contributors (@cctv-pipeline)
options:
  _input:
    description: The manifests.
    type: list
    elements: dict
    required: true
  component:
    description: The component that they belong to.
    type: str
    required: true
  namespace:
    description: Their namespace.
    type: str
    required: true
  priority_classes:
    description: Names of the PriorityClasses C(live), of what the live picture needs, and C(background), of all else; those not named are not set.
    type: dict
    version_added: 1.1.0
  node_lost_seconds:
    description: How long pods of a Deployment stay on a node that does not answer.
    type: int
    default: 10
    version_added: 1.1.0
  metrics_from:
    description: Who may read metrics, as peers of a NetworkPolicy.
    type: list
    elements: dict
    version_added: 1.1.0
  image_pull_secrets:
    description: Names of the Secrets that open the images' registry.
    type: list
    elements: str
    version_added: 1.1.0
"""

EXAMPLES = r"""
- name: Show a whole manifest
  ansible.builtin.debug:
    msg: "{{ lookup('ansible.builtin.template', 'video.yaml.j2') | from_yaml_all | cctv.pipeline.complete('video', 'cctv') }}"
"""

RETURN = r"""
_value:
  description: The manifests, completed.
  type: list
  elements: dict
"""

from ansible.errors import AnsibleFilterError
from ansible_collections.cctv.pipeline.plugins.plugin_utils.network_policies import network_policies, party, selector

PART_OF = "cctv-pipeline"
WORKLOADS = ("Deployment", "StatefulSet")
LIVE = ("zookeeper", "kafka", "tf_serving", "consumer", "video", "producer")
WRITABLE = "/tmp"  # inside a container, whose root file system is read-only

ENVIRONMENT = [
    {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    # A listener binds to its pod's address and no other: on one machine many pods share the port numbers.
    {"name": "HTTP_HOST", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    {"name": "HOME", "value": WRITABLE},
    {"name": "TMPDIR", "value": WRITABLE},
]


def complete(
    manifests,
    component,
    namespace,
    priority_classes=None,
    node_lost_seconds=10,
    metrics_from=None,
    image_pull_secrets=None,
):
    if isinstance(manifests, (str, dict)):
        raise AnsibleFilterError("complete takes a list of manifests, not %s" % type(manifests).__name__)
    priority = (priority_classes or {}).get("live" if component in LIVE else "background")
    completed = [_complete(_copy(manifest), component, namespace) for manifest in manifests if manifest]
    workloads = [manifest for manifest in completed if manifest.get("kind") in WORKLOADS]
    there = {(manifest.get("kind"), manifest["metadata"].get("name")) for manifest in completed}
    added = network_policies(workloads, _copy(metrics_from or []))
    for workload in workloads:
        replicas = _replicas(workload, completed)
        _place(workload, replicas, priority, int(node_lost_seconds))
        if image_pull_secrets:
            pod = workload["spec"]["template"]["spec"]
            pod.setdefault("imagePullSecrets", [{"name": str(name)} for name in image_pull_secrets])
        if replicas > 1:
            added.append(_budget(workload))
    return completed + [
        _complete(manifest, component, namespace)
        for manifest in added
        if (manifest["kind"], manifest["metadata"]["name"]) not in there
    ]


def _replicas(workload, manifests):
    """Return how many there are at least."""
    for manifest in manifests:
        scaled = manifest["spec"]["scaleTargetRef"] if manifest.get("kind") == "HorizontalPodAutoscaler" else {}
        if scaled.get("name") == workload["metadata"]["name"]:
            return int(manifest["spec"].get("minReplicas", 1))
    return int(workload["spec"].get("replicas", 1))


def _place(workload, replicas, priority, node_lost_seconds):
    spec = workload["spec"]
    pod = spec["template"]["spec"]
    spec.setdefault("revisionHistoryLimit", 2)
    if priority:
        pod.setdefault("priorityClassName", priority)
    deployed = workload["kind"] == "Deployment"
    if deployed:
        # A StatefulSet's pod cannot start elsewhere before its node has said that it ended.
        pod.setdefault(
            "tolerations",
            [
                {
                    "key": "node.kubernetes.io/%s" % state,
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": node_lost_seconds,
                }
                for state in ("not-ready", "unreachable")
            ],
        )
    one_of_many = party(workload) != workload["metadata"]["name"]
    if replicas > 1 or one_of_many:
        spread = {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": selector(party(workload)),
        }
        if deployed and not one_of_many:
            # Those that a rollout is about to end do not count.
            spread["matchLabelKeys"] = ["pod-template-hash"]
        pod.setdefault("topologySpreadConstraints", [spread])


def _budget(workload):
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": workload["metadata"]["name"]},
        "spec": {"maxUnavailable": 1, "selector": selector(workload["metadata"]["name"])},
    }


def _copy(value):
    # copy.deepcopy of what Ansible hands to a filter copies its templating engine along, which takes seconds.
    if isinstance(value, dict):
        return {key: _copy(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_copy(inner) for inner in value]
    return value


def _complete(manifest, component, namespace):
    metadata = manifest.setdefault("metadata", {})
    metadata.setdefault("namespace", namespace)
    labels = {
        "app.kubernetes.io/name": metadata.get("name", component),
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/part-of": PART_OF,
    }
    metadata["labels"] = {**labels, **metadata.get("labels", {})}
    spec = manifest.get("spec", {})
    if manifest.get("kind") == "Service":
        spec.setdefault("selector", {"app.kubernetes.io/name": labels["app.kubernetes.io/name"]})
    if "template" in spec:
        spec.setdefault("selector", {"matchLabels": {"app.kubernetes.io/name": labels["app.kubernetes.io/name"]}})
        template = spec["template"]
        template_metadata = template.setdefault("metadata", {})
        template_metadata["labels"] = {**metadata["labels"], **template_metadata.get("labels", {})}
        _complete_pod(template.setdefault("spec", {}))
    return manifest


def _complete_pod(pod):
    pod.setdefault("automountServiceAccountToken", False)
    pod.setdefault("enableServiceLinks", False)
    pod["securityContext"] = {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "fsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
        **pod.get("securityContext", {}),
    }
    volumes = pod.setdefault("volumes", [])
    if not any(volume["name"] == "tmp" for volume in volumes):
        volumes.append({"name": "tmp", "emptyDir": {}})
    for container in pod.get("containers", []):
        container["securityContext"] = {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            **container.get("securityContext", {}),
        }
        mounts = container.setdefault("volumeMounts", [])
        if not any(mount["mountPath"] == WRITABLE for mount in mounts):
            mounts.append({"name": "tmp", "mountPath": WRITABLE})
        own = container.get("env", [])
        named = {variable["name"] for variable in own}
        # First, so that a container's own variables can refer to them.
        container["env"] = [variable for variable in ENVIRONMENT if variable["name"] not in named] + own


class FilterModule:
    def filters(self):
        return {"complete": complete}
