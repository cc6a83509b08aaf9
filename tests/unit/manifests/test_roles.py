"""What roles render for a cluster, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cctv.pipeline.plugins.module_utils.manifests import problems

from .conftest import Render


def test_one_machine_understands_all_that_a_cluster_is_given(manifests: list[dict[str, Any]]) -> None:
    assert [problem for manifest in manifests for problem in problems(manifest)] == []


def test_every_container_says_what_it_needs_and_how_much_it_takes_at_most(manifests: list[dict[str, Any]]) -> None:
    for manifest in manifests:
        for container in manifest.get("spec", {}).get("template", {}).get("spec", {}).get("containers", []):
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), container["name"]
            assert "memory" in container["resources"]["limits"], container["name"]


def test_an_autoscaler_s_replicas_are_not_set(render: Render) -> None:
    made = render("consumer", consumer_autoscaling={"min": 2, "max": 4})["consumer"]
    assert made["problems"] == []
    by_kind = {manifest["kind"]: manifest["spec"] for manifest in made["manifests"] if "spec" in manifest}
    assert "replicas" not in by_kind["Deployment"]
    scaler = by_kind["HorizontalPodAutoscaler"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 4)


def test_upstream_s_model_server_is_started_by_its_own_name_with_the_claim_s_model(render: Render) -> None:
    made = render(
        "tf_serving",
        tf_serving_image="docker.io/tensorflow/serving:2.19.1",
        tf_serving_model_claim="models",
        tf_serving_model_path="traffic",
    )["tf_serving"]
    assert made["problems"] == []
    (pod,) = (m["spec"]["template"]["spec"] for m in made["manifests"] if m["kind"] == "Deployment")
    (container,) = pod["containers"]
    assert container["command"] == ["tensorflow_model_server"]
    mounted = {m["mountPath"]: m["name"] for m in container["volumeMounts"]}
    claims = {v["name"]: v.get("persistentVolumeClaim", {}).get("claimName") for v in pod["volumes"]}
    (base_path,) = (a for a in container["args"] if a.startswith("--model_base_path="))
    folder = base_path.removeprefix("--model_base_path=").removesuffix("/traffic")
    assert claims[mounted[folder]] == "models"


def test_on_one_machine_the_model_is_where_the_installation_put_it(render: Render) -> None:
    made = render("tf_serving", workload_runtime="local", local_runtime_data="/data")["tf_serving"]
    (container,) = (
        m["spec"]["template"]["spec"]["containers"][0] for m in made["manifests"] if m["kind"] == "Deployment"
    )
    assert "--model_base_path=/data/models/imagenet" in container["args"]


def test_one_machine_has_no_claims(render: Render) -> None:
    said = {"workload_runtime": "local", "local_runtime_data": "/data", "tf_serving_model_claim": "models"}
    (problem,) = render("tf_serving", **said)["tf_serving"]["problems"]
    assert problem.startswith("tf_serving_model_claim=models")
    assert "tf_serving_model_path" in problem.partition("expected")[2]


def test_what_cannot_work_is_told_by_variable_value_and_what_is_expected(render: Render) -> None:
    made = render(
        *("tf_serving", "consumer", "video", "producer"),
        tf_serving_model_path="/home/me/model",
        consumer_replicas=5,
        kafka_partitions=4,
        video_ingress_tls_secret="tls",
        producer_camera_networks=["here"],
    )
    told = [problem for role in made.values() for problem in role["problems"]]
    for problem, start, expected in zip(
        told,
        (
            "tf_serving_model_path=/home/me/model: a cluster sees no folder of the controller",
            "consumer_replicas=5",
            "video_ingress_host is empty",
            "producer_camera_networks=here",
        ),
        ("tf_serving_model_claim", "1 to kafka_partitions, which is 4", "host name", "such as 192.0.2.0/24"),
        strict=True,
    ):
        assert problem.startswith(start)
        assert expected in problem.partition("expected")[2]


@pytest.mark.parametrize(
    ("variables", "start"),
    [
        ({"consumer_autoscaling": {"max": 9}}, "consumer_autoscaling: min=1, max=9"),
        ({"consumer_autoscaling": {"max": 2, "cpu": 0}}, "consumer_autoscaling: cpu=0"),
        ({"consumer_autoscaling": {"max": 2}, "consumer_resources": {}}, "consumer_resources: requests no cpu"),
    ],
)
def test_an_autoscaler_that_cannot_scale_is_refused(render: Render, variables: dict[str, Any], start: str) -> None:
    (problem,) = render("consumer", **variables)["consumer"]["problems"]
    assert problem.startswith(start)
