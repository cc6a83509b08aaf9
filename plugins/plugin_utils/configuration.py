# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What pods read, noted in their templates: a ConfigMap or Secret that changes rolls exactly its readers."""

from __future__ import annotations

import hashlib
import json

from ansible.errors import AnsibleError
from ansible_collections.cctv.pipeline.plugins.module_utils.manifests import title

ANNOTATION = "cctv.pipeline/configuration"


def hashes(manifests):
    """Return "ConfigMap/name" -> a hash of its content, for each ConfigMap among ``manifests``."""
    return {
        "ConfigMap/%s" % manifest["metadata"]["name"]: _hash(
            [manifest.get("data") or {}, manifest.get("binaryData") or {}]
        )
        for manifest in manifests
        if manifest and manifest.get("kind") == "ConfigMap"
    }


def _hash(content):
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def annotate(manifests, read):
    """Return ``manifests``, each pod template annotated with a hash over the ConfigMaps and Secrets that its pods read.

    ``read``: "Kind/name" -> an opaque text for its content, for ConfigMaps of other components and for every Secret, as a
    hash of a short secret would tell it; the API server's resourceVersion does not. What pods cannot do without, and is
    neither there nor a ConfigMap among ``manifests``, is an error.
    """
    known = dict(read, **hashes(manifests))
    missing, annotated = [], []
    for manifest in manifests:
        spec = manifest.get("spec") or {}
        if "template" in spec:
            found = {}
            for reference, optional in _references(spec["template"]["spec"]):
                if reference in known:
                    found[reference] = str(known[reference])
                elif not optional:
                    missing.append("%s reads %s, which nothing makes" % (title(manifest), reference))
            metadata = spec["template"].get("metadata") or {}
            annotations = dict(metadata.get("annotations") or {}, **{ANNOTATION: _hash(found)})
            template = dict(spec["template"], metadata=dict(metadata, annotations=annotations))
            manifest = dict(manifest, spec=dict(spec, template=template))
        annotated.append(manifest)
    if missing:
        raise AnsibleError("; ".join(missing))
    return annotated


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
