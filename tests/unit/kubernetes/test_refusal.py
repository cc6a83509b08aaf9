"""What a person is told when the API server refuses; the answers are those of Kubernetes 1.36."""

import json
from typing import Any

import pytest
from ansible_collections.cctv.pipeline.plugins.plugin_utils.apply_problem import explain


def failure(
    code: int, message: str, kind: str = "", name: str = "", causes: list[tuple[str, str]] | None = None
) -> Any:
    """What kubernetes.core.k8s returns for a Status."""
    details = {"kind": kind, "name": name, "causes": [{"field": f, "message": m} for f, m in causes or []]}
    status = {"kind": "Status", "status": "Failure", "message": message, "details": details, "code": code}
    return {"msg": f"Failed to apply object: {json.dumps(status)}\n"}


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            failure(
                403,
                'configmaps "a" is forbidden: User "system:serviceaccount:cctv:few" cannot patch resource "configmaps" '
                'in API group "" in the namespace "cctv"',
                "configmaps",
                "a",
            ),
            ["kubeconfig /k: system:serviceaccount:cctv:few may not patch configmaps in namespace cctv", "admin.yml"],
        ),
        (
            failure(
                403,
                'pods "a" is forbidden: exceeded quota: few, requested: pods=1, used: pods=4, limited: pods=4',
                "pods",
                "a",
            ),
            ["ResourceQuota few is full: asked for pods=1, used pods=4 of pods=4"],
        ),
        (
            failure(
                403,
                'configmaps "a" is forbidden: unable to create new content in namespace cctv '
                "because it is being terminated",
            ),
            ["workload_namespace=cctv: the namespace is being terminated"],
        ),
        (failure(404, 'namespaces "cctv" not found', "namespaces", "cctv"), ["workload_namespace=cctv: there is no"]),
        (
            failure(
                422,
                'StatefulSet.apps "kafka" is invalid: spec: Forbidden: updates to statefulset spec '
                "for fields other than 'replicas' are forbidden",
                "StatefulSet",
                "kafka",
                [("spec", "Forbidden: updates to statefulset spec for fields other than 'replicas' are forbidden")],
            ),
            ["(spec: Forbidden: updates to", "kubectl delete statefulset kafka --cascade=orphan"],
        ),
        (
            failure(
                422,
                'Service "b" is invalid: spec.ports[0].nodePort: Invalid value: 30163: '
                "provided port is already allocated",
                "Service",
                "b",
                [("spec.ports[0].nodePort", "Invalid value: 30163: provided port is already allocated")],
            ),
            ["node port 30163 is taken by another Service"],
        ),
        (
            failure(
                500,
                "failed to create typed patch object (cctv/web; apps/v1, Kind=Deployment): .spec.replica: field not "
                "declared in schema",
            ),
            ["spec.replica: the cluster knows no such field"],
        ),
        (failure(401, "Unauthorized"), ["kubeconfig /k: the API server does not accept its credentials"]),
        (
            {
                "msg": "HTTPSConnectionPool(host='192.0.2.1', port=6443): Max retries exceeded with url: "
                "/version (Caused by NewConnectionError(\"HTTPSConnection(host='192.0.2.1', port=6443): Failed to "
                'establish a new connection: [Errno 111] Connection refused"))'
            },
            [
                "kubeconfig /k: the API server at 192.0.2.1:6443 cannot be reached",
                "(Failed to establish a new connection: [Errno 111] Connection refused)",
            ],
        ),
        (
            {"msg": "Could not create API client: Invalid kube-config file. No configuration found."},
            ["kubeconfig /k: the kubeconfig cannot be used (Invalid kube-config file. No configuration found.)"],
        ),
        ({"msg": "Failed to find exact match for v1.Nonsense"}, ["Failed to find exact match for v1.Nonsense"]),
    ],
)
def test_what_to_do_is_told(error: Any, told: list[str]) -> None:
    message = explain(error, "kubeconfig /k")
    assert [part for part in told if part not in message] == [], message
    assert "\n" not in message


@pytest.mark.parametrize(
    "error",
    [
        failure(422, 'Secret "s" is invalid: data[key]: Invalid value: "hunter2": no', "Secret", "s"),
        failure(
            422,
            'Secret "s" is invalid: data: Invalid value: "hunter2": field is immutable',
            "Secret",
            "s",
            [("data", "")],
        ),
        failure(
            500,
            "failed to create typed patch object (cctv/s; /v1, Kind=Secret): .stringData.key: expected string, got "
            "&value.valueUnstructured{Value:hunter2}",
        ),
    ],
)
def test_a_secrets_value_is_not_told(error: Any) -> None:
    message = explain(error)
    assert "hunter2" not in message
    assert "not shown" in message or "immutable" in message
