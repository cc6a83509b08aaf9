"""Role detection: which frames are asked for, and what a cluster is given."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

CAMERAS = [
    {"id": "gate", "url": "sample:bikes", "blur_faces": True},
    {"id": "yard", "url": "sample:bikes", "fps": 10, "detection_frame_rate": 0.5},
    {"id": "slow", "url": "sample:photos", "fps": 1},
    {"id": "dark", "url": "sample:bikes", "fps": 5, "detection_frame_rate": 0},
]


def by_kind(manifests: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(manifest["kind"], manifest["metadata"]["name"]): manifest for manifest in manifests}


def test_every_camera_has_the_rate_that_was_asked_for(render: Any) -> None:
    made = render("detection", cameras=CAMERAS)["detection"]
    assert made["problems"] == []
    said = by_kind(made["manifests"])["ConfigMap", "detection"]["data"]
    assert json.loads(said["DETECTION_CAMERAS"]) == {
        "gate": {"every": 12, "blur_faces": True},
        "yard": {"every": 20, "blur_faces": False},
        "slow": {"every": 1, "blur_faces": False},
        "dark": {"every": 0, "blur_faces": False},
    }
    assert said["DETECTION_EVERY"] == "12"


def test_executors_are_pods_that_the_namespace_takes(render: Any) -> None:
    manifests = by_kind(render("detection")["detection"]["manifests"])
    said = manifests["ConfigMap", "detection"]["data"]
    assert said["DETECTION_DRIVER_HOST"] == "spark-driver.cctv.svc"
    folder, __, file = said["DETECTION_EXECUTOR_TEMPLATE"].rpartition("/")
    driver = manifests["Deployment", "spark-driver"]["spec"]["template"]["spec"]
    assert folder in [mount["mountPath"] for mount in driver["containers"][0]["volumeMounts"]]
    pod = yaml.safe_load(manifests["ConfigMap", "detection-executor"]["data"][file])
    assert pod["metadata"]["labels"]["app.kubernetes.io/name"] == "spark-executor"
    # What Pod Security's `restricted` asks for is what the driver's own pod has.
    assert pod["spec"]["securityContext"] == driver["securityContext"]
    (container,) = pod["spec"]["containers"]
    assert container["securityContext"] == driver["containers"][0]["securityContext"]
    assert pod["spec"]["tolerations"] == driver["tolerations"]
    assert pod["spec"]["automountServiceAccountToken"] is False


def test_the_driver_may_do_with_pods_what_spark_asks_for_and_nothing_else(render: Any) -> None:
    manifests = by_kind(render("detection")["detection"]["manifests"])
    (rule,) = manifests["Role", "spark-driver"]["rules"]
    assert rule["resources"] == ["pods"]
    (subject,) = manifests["RoleBinding", "spark-driver"]["subjects"]
    assert (subject["name"], subject["namespace"]) == ("spark-driver", "cctv")
    pod = manifests["Deployment", "spark-driver"]["spec"]["template"]["spec"]
    assert (pod["serviceAccountName"], pod["automountServiceAccountToken"]) == ("spark-driver", True)


def test_without_executors_there_is_the_driver_alone(render: Any) -> None:
    made = render("detection", detection_executors=0, detection_driver_cores=3)["detection"]
    manifests = by_kind(made["manifests"])
    assert made["problems"] == []
    assert manifests["ConfigMap", "detection"]["data"]["SPARK_MASTER"] == "local[3]"
    assert {kind for kind, __ in manifests} == {"ConfigMap", "PersistentVolumeClaim", "Deployment", "NetworkPolicy"}


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"detection_frame_rate": "often"}, "detection_frame_rate=often: expected frames per second"),
        (
            {"cameras": [CAMERAS[0] | {"detection_frame_rate": "often"}]},
            "detection_frame_rate=often of cameras gate: expected frames per second",
        ),
        ({"detection_object_detector": "yolo"}, "detection_object_detector=yolo: expected centernet"),
        ({"detection_face_detector": "dlib"}, "detection_face_detector=dlib: expected blazeface, haar or none"),
        (
            {"detection_face_detector": "none", "cameras": CAMERAS},
            "detection_face_detector=none: expected blazeface or haar, as there are cameras whose faces are blurred",
        ),
        ({"detection_executors": "some"}, "detection_executors=some: expected how many executors"),
        ({"detection_face_min_score": 1.5}, "detection_face_min_score=1.5: expected a number from 0 to 1"),
        ({"detection_driver_memory": "1Gi"}, "detection_driver_memory=1Gi: expected an amount of memory"),
        ({"detection_port": 7078}, "detection_port, detection_driver_port and detection_block_manager_port: expected"),
    ],
)
def test_a_wrong_value_is_told(render: Any, variables: dict[str, Any], problem: str) -> None:
    (told,) = render("detection", **variables)["detection"]["problems"]
    assert told.startswith(problem)


def test_one_machine_has_no_executors(render: Any) -> None:
    (told,) = render(
        "detection",
        detection_executors=2,
        workload_runtime="local",
        local_runtime_data="/data",
        local_runtime_state="/state",
    )["detection"]["problems"]
    assert told.startswith("detection_executors=2: expected 0")
