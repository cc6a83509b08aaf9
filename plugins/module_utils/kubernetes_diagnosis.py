# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What tells how the pipeline's namespace on a cluster is."""

from __future__ import annotations

import json

from ansible_collections.cctv.pipeline.plugins.module_utils.kubernetes_api import Problem
from ansible_collections.cctv.pipeline.plugins.module_utils.redaction import hidden, secrets

KINDS = (
    ("/api/v1", ("configmaps", "events", "persistentvolumeclaims", "pods", "services")),
    ("/apis/apps/v1", ("deployments", "replicasets", "statefulsets")),
    ("/apis/autoscaling/v2", ("horizontalpodautoscalers",)),
    ("/apis/networking.k8s.io/v1", ("ingresses", "networkpolicies")),
    ("/apis/policy/v1", ("poddisruptionbudgets",)),
    ("/apis/metrics.k8s.io/v1beta1", ("pods",)),
)


def gather(archive, api, namespace, log_lines):
    """Add all that may be read to an archive; return what is secret in it. Raises Problem when that cannot be known."""
    found = api.items("/api/v1/namespaces/%s/secrets" % namespace)
    kept = list(secrets(found))
    archive.add("objects/secrets.json", [_plain(hidden(dict(secret, kind="Secret"))) for secret in found])
    for group, kinds in KINDS:
        for kind in kinds:
            name = "objects/%s.json" % (kind if "metrics" not in group else "usage")
            path = "%s/namespaces/%s/%s" % (group, namespace, kind)
            archive.attempt(name, lambda path=path: [_plain(one) for one in api.items(path)], Problem)
    archive.attempt("version.json", lambda: api.get("/version"), Problem)
    # An account of one namespace may not see them.
    archive.attempt("nodes.json", lambda: [_plain(node) for node in api.items("/api/v1/nodes")], Problem)
    for pod in json.loads(archive.files.get("objects/pods.json", "[]")):
        _logs(archive, api, namespace, pod, log_lines)
    return kept


def _logs(archive, api, namespace, pod, lines):
    status = pod.get("status") or {}
    restarts = {said["name"]: said["restartCount"] for said in status.get("containerStatuses") or []}
    path = "/api/v1/namespaces/%s/pods/%s/log" % (namespace, pod["metadata"]["name"])
    for container in pod["spec"]["containers"]:
        name = container["name"]
        for suffix, previous in ((".log", "false"), (".previous.log", "true")):
            if previous == "true" and not restarts.get(name):
                continue
            archive.attempt(
                "logs/%s.%s%s" % (pod["metadata"]["name"], name, suffix),
                lambda name=name, previous=previous: api.text(path, container=name, tailLines=lines, previous=previous),
                Problem,
            )


def _plain(thing):
    """Return an object without what only the API server reads."""
    metadata = {key: value for key, value in thing["metadata"].items() if key != "managedFields"}
    return dict(thing, metadata=metadata)
