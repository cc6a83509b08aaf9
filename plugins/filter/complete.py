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

PART_OF = "cctv-pipeline"
WRITABLE = "/tmp"  # inside a container, whose root file system is read-only

ENVIRONMENT = [
    {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    # A listener binds to its pod's address and no other: on one machine many pods share the port numbers.
    {"name": "HTTP_HOST", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    {"name": "HOME", "value": WRITABLE},
    {"name": "TMPDIR", "value": WRITABLE},
]


def complete(manifests, component, namespace):
    if isinstance(manifests, (str, dict)):
        raise AnsibleFilterError("complete takes a list of manifests, not %s" % type(manifests).__name__)
    return [_complete(_copy(manifest), component, namespace) for manifest in manifests if manifest]


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
