"""The producers of cameras: who restarts when a camera comes or goes, and where passwords are."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from ansible_collections.cctv.pipeline.plugins.module_utils.local_pods import Store
from ansible_collections.cctv.pipeline.plugins.plugin_utils.compose import compose, is_secret

from .conftest import Made, Render

GATE = {"id": "gate", "url": "rtsp://192.0.2.7/1", "substream": "/2", "username": "op er", "password": "p@ss:1"}
YARD = {"id": "yard", "url": "http://u:s3cret@192.0.2.8/mjpeg", "fps": 1}
DOOR = {"id": "door", "url": "rtsp://192.0.2.9/1", "credentials_secret": "door-login"}
BIKES = {"id": "bikes", "url": "sample:bikes"}
SECRETS = ("p@ss:1", "op er", "s3cret", "192.0.2.7/1")
OTHERS = [
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kafka-client", "namespace": "cctv"}, "data": {}}
]


def producers(made: Made) -> list[dict[str, Any]]:
    assert made["producer"]["problems"] == []
    found: list[dict[str, Any]] = made["producer"]["manifests"]
    return found


@pytest.fixture(scope="module")
def before(render: Render) -> list[dict[str, Any]]:
    return producers(render("producer", cameras=[GATE, YARD, DOOR]))


@pytest.fixture(scope="module")
def after(render: Render) -> list[dict[str, Any]]:
    """One camera less, one more, and in another order."""
    return producers(render("producer", cameras=[BIKES, DOOR, GATE]))


def test_a_camera_that_comes_or_goes_changes_nothing_of_the_others_on_a_cluster(
    before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> None:
    one, other = (
        {(m["kind"], m["metadata"]["name"]): m for m in manifests if m["kind"] != "NetworkPolicy"}
        for manifests in (before, after)
    )
    assert {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)} == {
        (kind, f"producer-{camera}") for kind in ("ConfigMap", "Secret", "Deployment") for camera in ("yard", "bikes")
    }


def test_a_camera_that_comes_or_goes_restarts_no_other_on_one_machine(
    before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> None:
    digests, addresses = [], {}
    for manifests in (before, after, before):
        components = {"producer": {"manifests": manifests + OTHERS, "environment": {}}}
        store = Store(components, "127.0", addresses, lenient=True)
        digests.append({pod.name: pod.digest for pod in store.pods()})
        addresses = store.addresses
    there, without, again = digests
    assert there.keys() ^ without.keys() == {"producer-yard-0", "producer-bikes-0"}
    for pod in ("producer-gate-0", "producer-door-0"):
        assert there[pod] == without[pod] == again[pod]


def test_users_and_passwords_are_in_secrets_alone(before: list[dict[str, Any]]) -> None:
    shown = json.dumps([manifest for manifest in before if manifest["kind"] != "Secret"])
    assert [secret for secret in SECRETS if secret in shown] == []
    (gate,) = (m["data"] for m in before if (m["kind"], m["metadata"]["name"]) == ("Secret", "producer-gate"))
    assert {key: base64.b64decode(value).decode() for key, value in gate.items()} == {
        "CAMERA_URL": "rtsp://192.0.2.7/1",
        "CAMERA_SUBSTREAM": "/2",
        "CAMERA_USERNAME": "op er",
        "CAMERA_PASSWORD": "p@ss:1",
    }


def test_a_secret_of_one_s_own_is_read_where_it_is(before: list[dict[str, Any]]) -> None:
    (door,) = (m for m in before if (m["kind"], m["metadata"]["name"]) == ("Deployment", "producer-door"))
    (container,) = door["spec"]["template"]["spec"]["containers"]
    assert {
        variable["name"]: variable["valueFrom"]["secretKeyRef"]
        for variable in container["env"]
        if variable["name"].startswith("CAMERA_")
    } == {
        "CAMERA_USERNAME": {"name": "door-login", "key": "username"},
        "CAMERA_PASSWORD": {"name": "door-login", "key": "password"},
    }


def test_compose_has_passwords_in_files_that_others_cannot_read(before: list[dict[str, Any]]) -> None:
    manifests = [manifest for manifest in before if manifest["metadata"]["name"] != "producer-door"]
    project, files = compose(manifests + OTHERS, "127.0.0.1")
    readable = json.dumps(project) + "".join(content for path, (content, __) in files.items() if not is_secret(path))
    assert [secret for secret in SECRETS if secret in readable] == []
    assert "p@ss:1" in files["env/producer-gate-0.env"][0]


def test_a_cluster_has_no_usb_cameras_and_they_need_no_network(render: Render) -> None:
    made = render("producer", cameras=[{"id": "desk", "url": "usb:0"}])["producer"]
    (problem,) = made["problems"]
    assert problem.startswith("cameras[0].url is 'usb:0'; expected a camera on the network")
    assert [m["metadata"]["name"] for m in made["manifests"] if m["kind"] == "NetworkPolicy"] == ["producer"]
