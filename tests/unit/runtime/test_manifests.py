import copy

import pytest
from ansible_collections.cctv.pipeline.plugins.module_utils.manifests import problems

DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "video"},
    "spec": {
        "replicas": 1,
        "template": {"spec": {"containers": [{"name": "video", "image": "cctv/video:1", "command": ["cctv-video"]}]}},
    },
}


def changed(path: list[str | int], value: object) -> dict:
    manifest = copy.deepcopy(DEPLOYMENT)
    place = manifest
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return manifest


def test_a_deployment_of_the_subset_is_taken():
    assert problems(DEPLOYMENT) == []


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (["spec", "paused"], True, "spec.paused"),
        (["spec", "template", "spec", "hostNetwork"], True, "spec.template.spec.hostNetwork"),
        (["spec", "template", "spec", "initContainers"], [], "spec.template.spec.initContainers"),
        (
            ["spec", "template", "spec", "containers", 0, "lifecycle"],
            {"preStop": {"exec": {"command": ["true"]}}},
            "spec.template.spec.containers[0].lifecycle.preStop.exec",
        ),
        (
            ["spec", "template", "spec", "containers", 0, "livenessProbe"],
            {"grpc": {"port": 1}},
            "spec.template.spec.containers[0].livenessProbe.grpc",
        ),
    ],
)
def test_a_field_outside_the_subset_is_refused_by_its_name(path, value, field):
    assert problems(changed(path, value)) == [
        f"Deployment video: {field} is not understood by the local runtime",
    ]


@pytest.mark.parametrize("field", ["securityContext", "affinity", "tolerations", "priorityClassName"])
def test_a_field_that_means_nothing_on_one_machine_is_taken(field):
    assert problems(changed(["spec", "template", "spec", field], {})) == []


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("autoscaling/v2", "HorizontalPodAutoscaler"),
        ("networking.k8s.io/v1", "Ingress"),
        ("networking.k8s.io/v1", "NetworkPolicy"),
        ("policy/v1", "PodDisruptionBudget"),
    ],
)
def test_a_kind_that_means_nothing_on_one_machine_is_taken(version, kind):
    assert problems({"apiVersion": version, "kind": kind, "metadata": {"name": "video"}, "spec": {"any": 1}}) == []


def test_time_before_the_stop_means_nothing_where_clients_know_all_addresses():
    field = ["spec", "template", "spec", "containers", 0, "lifecycle"]
    assert problems(changed(field, {"preStop": {"sleep": {"seconds": 3}}})) == []


def test_a_kind_outside_the_subset_is_refused():
    (problem,) = problems({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"}})
    assert problem.startswith("Job once: apiVersion batch/v1 is not understood")


def test_a_number_in_a_config_map_is_refused_as_the_api_server_would():
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "video"}, "data": {"HTTP_PORT": 30163}}
    assert problems(manifest) == ["ConfigMap video: data.HTTP_PORT is 30163, expected a string"]


def test_a_secret_s_value_is_not_told():
    manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"PASSWORD": 4711}}
    (problem,) = problems(manifest)
    assert "PASSWORD" in problem
    assert "4711" not in problem
