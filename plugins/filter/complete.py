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
  - With O(read), each pod template gets the annotation C(cctv.pipeline/configuration), a hash over all ConfigMaps and Secrets that its pods read: one that
    changes rolls exactly its readers.
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
  read:
    description:
      - What stands for the content of ConfigMaps and Secrets that other components have made, as C(ConfigMap/kafka-client), and of every Secret,
        which must not be hashed here, as a hash of a short secret tells it; its C(resourceVersion) does.
      - What pods must have and is neither here nor among the ConfigMaps of the manifests is an error.
    type: dict
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

import hashlib
import json

from ansible.errors import AnsibleFilterError

PART_OF = "cctv-pipeline"
WRITABLE = "/tmp"  # inside a container, whose root file system is read-only
CONFIGURATION = "cctv.pipeline/configuration"

ENVIRONMENT = [
    {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    # A listener binds to its pod's address and no other: on one machine many pods share the port numbers.
    {"name": "HTTP_HOST", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    {"name": "HOME", "value": WRITABLE},
    {"name": "TMPDIR", "value": WRITABLE},
]


def complete(manifests, component, namespace, read=None):
    if isinstance(manifests, (str, dict)):
        raise AnsibleFilterError("complete takes a list of manifests, not %s" % type(manifests).__name__)
    completed = [_complete(_copy(manifest), component, namespace) for manifest in manifests if manifest]
    if read is not None:
        _note_configuration(completed, dict(read, **configuration_hashes(completed)))
    return completed


def configuration_hashes(manifests):
    """Return a hash of each ConfigMap's content, as ``complete`` takes them."""
    return {
        "ConfigMap/%s" % manifest["metadata"]["name"]: _hash(
            [manifest.get("data") or {}, manifest.get("binaryData") or {}]
        )
        for manifest in manifests
        if manifest and manifest.get("kind") == "ConfigMap"
    }


def _hash(content):
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _note_configuration(manifests, known):
    missing = []
    for manifest in manifests:
        template = (manifest.get("spec") or {}).get("template")
        if template is None:
            continue
        found = {}
        for reference, optional in _references(template["spec"]):
            if reference in known:
                found[reference] = str(known[reference])
            elif not optional:
                missing.append(
                    "%s %s reads %s, which nothing makes" % (manifest["kind"], manifest["metadata"]["name"], reference)
                )
        template["metadata"].setdefault("annotations", {})[CONFIGURATION] = _hash(found)
    if missing:
        raise AnsibleFilterError("; ".join(missing))


def _references(pod):
    """Yield each ConfigMap and Secret that a pod reads, and whether it can do without."""
    sources = [source for container in pod.get("containers", []) for source in container.get("envFrom", [])]
    sources += [
        variable.get("valueFrom") or {}
        for container in pod.get("containers", [])
        for variable in container.get("env", [])
    ]
    sources += pod.get("volumes", [])
    for source in sources:
        for kind, fields in (
            ("ConfigMap", ("configMapRef", "configMapKeyRef", "configMap")),
            ("Secret", ("secretRef", "secretKeyRef", "secret")),
        ):
            for field in fields:
                said = source.get(field)
                if said is not None:
                    yield "%s/%s" % (kind, said.get("name") or said.get("secretName")), bool(said.get("optional"))


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
        return {"complete": complete, "configuration_hashes": configuration_hashes}
