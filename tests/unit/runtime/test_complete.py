import copy

import pytest
from ansible_collections.cctv.pipeline.plugins.filter.complete import complete

DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "video", "labels": {"mine": "1"}},
    "spec": {
        "template": {
            "spec": {
                "containers": [{"name": "video", "env": [{"name": "TMPDIR", "value": "/var/spool"}]}],
                "securityContext": {"runAsUser": 4},
            }
        }
    },
}


def test_what_a_manifest_says_itself_is_kept():
    made, *__ = complete([DEPLOYMENT], "video", "cctv")
    pod = made["spec"]["template"]["spec"]
    env = pod["containers"][0]["env"]
    assert [variable for variable in env if variable["name"] == "TMPDIR"] == [{"name": "TMPDIR", "value": "/var/spool"}]
    assert pod["securityContext"]["runAsUser"] == 4
    assert made["metadata"]["labels"]["mine"] == "1"


def test_the_selector_selects_the_pods():
    made, *__ = complete([DEPLOYMENT], "video", "cctv")
    labels = made["spec"]["template"]["metadata"]["labels"]
    assert made["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_pods_meet_pod_security_restricted():
    made, *__ = complete([DEPLOYMENT], "video", "cctv")
    pod = made["spec"]["template"]["spec"]
    container = pod["containers"][0]["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["allowPrivilegeEscalation"] is False
    assert container["capabilities"] == {"drop": ["ALL"]}
    assert container["readOnlyRootFilesystem"] is True


def test_the_given_manifests_are_not_changed():
    before = repr(DEPLOYMENT)
    complete([DEPLOYMENT], "video", "cctv")
    assert repr(DEPLOYMENT) == before


def added(kind: str, **spec) -> list[dict]:
    manifest = copy.deepcopy(DEPLOYMENT)
    manifest["spec"].update(spec)
    return [made for made in complete([manifest], "video", "cctv") if made["kind"] == kind]


def test_replicas_are_drained_one_at_a_time_and_a_lone_one_at_once():
    (budget,) = added("PodDisruptionBudget", replicas=2)
    assert budget["spec"]["maxUnavailable"] == 1
    assert budget["spec"]["selector"] == added("Deployment", replicas=2)[0]["spec"]["selector"]
    assert added("PodDisruptionBudget", replicas=1) == []


def test_replicas_are_spread_over_nodes():
    (made,) = added("Deployment", replicas=2)
    (spread,) = made["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert (spread["topologyKey"], spread["whenUnsatisfiable"]) == ("kubernetes.io/hostname", "ScheduleAnyway")
    assert spread["labelSelector"] == made["spec"]["selector"]


def test_cameras_are_spread_over_nodes_though_each_has_one_producer():
    producer = copy.deepcopy(DEPLOYMENT)
    producer["metadata"]["name"] = "producer-door"
    made, *__ = complete([producer], "producer", "cctv")
    (spread,) = made["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"] == {"matchLabels": {"app.kubernetes.io/component": "producer"}}


def test_what_an_autoscaler_scales_has_at_least_its_least_replicas():
    scaler = {
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "video"},
        "spec": {"scaleTargetRef": {"name": "video"}, "minReplicas": 2},
    }
    assert "PodDisruptionBudget" in [made["kind"] for made in complete([DEPLOYMENT, scaler], "video", "cctv")]


@pytest.mark.parametrize(("component", "name"), [("video", "high"), ("archiver", "low")])
def test_the_live_picture_outlives_the_rest(component, name):
    made, *__ = complete([DEPLOYMENT], component, "cctv", priority_classes={"live": "high", "background": "low"})
    assert made["spec"]["template"]["spec"]["priorityClassName"] == name
    made, *__ = complete([DEPLOYMENT], component, "cctv", priority_classes={})
    assert "priorityClassName" not in made["spec"]["template"]["spec"]


def test_only_pods_that_can_start_elsewhere_leave_a_lost_node_soon():
    stateful = dict(DEPLOYMENT, kind="StatefulSet")
    for manifest, seconds in ((DEPLOYMENT, {7}), (stateful, set())):
        made, *__ = complete([manifest], "video", "cctv", node_lost_seconds=7)
        tolerations = made["spec"]["template"]["spec"].get("tolerations", [])
        assert {toleration["tolerationSeconds"] for toleration in tolerations} == seconds


def test_what_a_role_renders_itself_is_not_rendered_twice():
    budget = {"kind": "PodDisruptionBudget", "metadata": {"name": "video"}, "spec": {"minAvailable": 1}}
    manifest = copy.deepcopy(DEPLOYMENT)
    manifest["spec"]["replicas"] = 3
    made = complete([manifest, budget], "video", "cctv")
    assert [m["spec"] for m in made if m["kind"] == "PodDisruptionBudget"] == [{"minAvailable": 1}]


def test_images_of_a_closed_registry_are_pulled_with_what_opens_it():
    made, *__ = complete([DEPLOYMENT], "video", "cctv", image_pull_secrets=["site"])
    assert made["spec"]["template"]["spec"]["imagePullSecrets"] == [{"name": "site"}]
    made, *__ = complete([DEPLOYMENT], "video", "cctv")
    assert "imagePullSecrets" not in made["spec"]["template"]["spec"]
