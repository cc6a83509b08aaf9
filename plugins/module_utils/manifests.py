# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The subset of Kubernetes manifests that the local runtime understands.

A field is USED, or stands in a nested table, or is listed as one that MEANS NOTHING on one machine. Any other field is a
problem: ignoring it would make the local runtime differ from a cluster in silence.
"""

from __future__ import annotations

USED = "used"
MEANS_NOTHING = "means nothing on one machine"


class Each:
    """A list whose entries all have the given table."""

    def __init__(self, table):
        self.table = table


METADATA = {"name": USED, "namespace": USED, "labels": USED, "annotations": MEANS_NOTHING}
PROBE = {
    "httpGet": {"path": USED, "port": USED},
    "tcpSocket": {"port": USED},
    "exec": {"command": USED},
    "initialDelaySeconds": USED,
    "periodSeconds": USED,
    "timeoutSeconds": USED,
    "failureThreshold": USED,
    "terminationGracePeriodSeconds": USED,
}
KEY = {"name": USED, "key": USED, "optional": USED}
CONTAINER = {
    "name": USED,
    "image": USED,
    "command": USED,
    "args": USED,
    "env": Each(
        {
            "name": USED,
            "value": USED,
            "valueFrom": {"configMapKeyRef": KEY, "secretKeyRef": KEY, "fieldRef": {"fieldPath": USED}},
        }
    ),
    "envFrom": Each(
        {
            "prefix": USED,
            "configMapRef": {"name": USED, "optional": USED},
            "secretRef": {"name": USED, "optional": USED},
        }
    ),
    "ports": Each({"name": USED, "containerPort": USED, "protocol": MEANS_NOTHING}),
    "startupProbe": PROBE,
    "readinessProbe": PROBE,
    "livenessProbe": PROBE,
    "volumeMounts": Each({"name": USED, "mountPath": USED, "readOnly": MEANS_NOTHING}),
    # Time for clients to learn that it goes, before it does: those of one machine know each address from the start.
    "lifecycle": {"preStop": {"sleep": MEANS_NOTHING}},
    "imagePullPolicy": MEANS_NOTHING,
    "resources": MEANS_NOTHING,
    "securityContext": MEANS_NOTHING,
    "terminationMessagePolicy": MEANS_NOTHING,
}
POD = {
    "containers": Each(CONTAINER),
    "terminationGracePeriodSeconds": USED,
    "volumes": Each(
        {
            "name": USED,
            "emptyDir": MEANS_NOTHING,
            "configMap": {"name": USED, "optional": USED, "defaultMode": MEANS_NOTHING},
            "secret": {"secretName": USED, "optional": USED, "defaultMode": MEANS_NOTHING},
            "persistentVolumeClaim": {"claimName": USED},
        }
    ),
    "affinity": MEANS_NOTHING,
    "automountServiceAccountToken": MEANS_NOTHING,
    "enableServiceLinks": MEANS_NOTHING,
    "imagePullSecrets": MEANS_NOTHING,
    "nodeSelector": MEANS_NOTHING,
    "priorityClassName": MEANS_NOTHING,
    "securityContext": MEANS_NOTHING,
    "serviceAccountName": MEANS_NOTHING,
    "tolerations": MEANS_NOTHING,
    "topologySpreadConstraints": MEANS_NOTHING,
}
TEMPLATE = {"metadata": {"labels": USED, "annotations": MEANS_NOTHING}, "spec": POD}
SPEC_OF_WORKLOAD = {
    "replicas": USED,
    "template": TEMPLATE,
    "selector": MEANS_NOTHING,
    "minReadySeconds": MEANS_NOTHING,
    "revisionHistoryLimit": MEANS_NOTHING,
}
KINDS = {
    ("v1", "ConfigMap"): {"data": USED, "immutable": MEANS_NOTHING},
    ("v1", "Secret"): {"data": USED, "stringData": USED, "type": MEANS_NOTHING, "immutable": MEANS_NOTHING},
    ("v1", "PersistentVolume"): {"spec": MEANS_NOTHING},
    ("v1", "PersistentVolumeClaim"): {"spec": MEANS_NOTHING},
    ("v1", "ServiceAccount"): {"automountServiceAccountToken": MEANS_NOTHING},
    ("rbac.authorization.k8s.io/v1", "Role"): {"rules": MEANS_NOTHING},
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): {"roleRef": MEANS_NOTHING, "subjects": MEANS_NOTHING},
    ("autoscaling/v2", "HorizontalPodAutoscaler"): {"spec": MEANS_NOTHING},
    ("networking.k8s.io/v1", "Ingress"): {"spec": MEANS_NOTHING},
    ("networking.k8s.io/v1", "NetworkPolicy"): {"spec": MEANS_NOTHING},
    ("policy/v1", "PodDisruptionBudget"): {"spec": MEANS_NOTHING},
    ("v1", "Service"): {
        "spec": {
            "selector": USED,
            "ports": Each(
                {"name": USED, "port": USED, "targetPort": USED, "nodePort": USED, "protocol": MEANS_NOTHING}
            ),
            "type": MEANS_NOTHING,
            "clusterIP": MEANS_NOTHING,
            "publishNotReadyAddresses": MEANS_NOTHING,
            "externalTrafficPolicy": MEANS_NOTHING,
        }
    },
    ("apps/v1", "Deployment"): {
        "spec": dict(SPEC_OF_WORKLOAD, strategy=MEANS_NOTHING, progressDeadlineSeconds=MEANS_NOTHING)
    },
    ("apps/v1", "StatefulSet"): {
        "spec": dict(
            SPEC_OF_WORKLOAD,
            serviceName=USED,
            volumeClaimTemplates=Each({"metadata": METADATA, "spec": MEANS_NOTHING}),
            updateStrategy=MEANS_NOTHING,
            podManagementPolicy=MEANS_NOTHING,
            persistentVolumeClaimRetentionPolicy=MEANS_NOTHING,
        )
    },
}


def title(manifest):
    """Name a manifest as a person would."""
    metadata = manifest.get("metadata") or {}
    return "%s %s" % (manifest.get("kind", "(no kind)"), metadata.get("name", "(no name)"))


def problems(manifest, runtime="the local runtime"):
    """Return what ``runtime`` does not understand in ``manifest``, a line each."""
    if not isinstance(manifest, dict):
        return ["a manifest is %r, expected a mapping" % (manifest,)]
    kind = (manifest.get("apiVersion"), manifest.get("kind"))
    if kind not in KINDS:
        known = ", ".join(sorted(name for version, name in KINDS))
        return [
            "%s: apiVersion %s is not understood by %s, which knows %s" % (title(manifest), kind[0], runtime, known)
        ]
    if not isinstance(manifest.get("metadata"), dict) or not manifest["metadata"].get("name"):
        return ["%s: metadata.name is missing" % title(manifest)]
    table = dict(KINDS[kind], apiVersion=USED, kind=USED, metadata=METADATA)
    found = ["%s: %s" % (title(manifest), problem) for problem in _walk(manifest, table, "", runtime)]
    for field in ("data", "stringData"):
        for key, value in (manifest.get(field) or {}).items() if kind[1] in ("ConfigMap", "Secret") else ():
            if not isinstance(value, str):
                shown = "a %s" % type(value).__name__ if kind[1] == "Secret" else repr(value)
                found.append("%s: %s.%s is %s, expected a string" % (title(manifest), field, key, shown))
    return found


def _walk(value, table, path, runtime):
    if isinstance(table, Each):
        if not isinstance(value, list):
            return ["%s is %s, expected a list" % (path, type(value).__name__)]
        return [
            problem
            for number, entry in enumerate(value)
            for problem in _walk(entry, table.table, "%s[%d]" % (path, number), runtime)
        ]
    if not isinstance(table, dict):
        return []
    if not isinstance(value, dict):
        return ["%s is %s, expected a mapping" % (path, type(value).__name__)]
    found = []
    for field, content in value.items():
        inner = "%s.%s" % (path, field) if path else field
        if field not in table:
            found.append("%s is not understood by %s" % (inner, runtime))
        else:
            found.extend(_walk(content, table[field], inner, runtime))
    return found
