"""The image store's claim, the volume behind it, and who may mount it, as an inventory says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import ROOT, Render

INVENTORY = """
kube_control_plane:
  hosts:
    cp1: {ansible_host: 192.0.2.10}
kube_workers:
  hosts:
    w1: {ansible_host: 192.0.2.21}
    w2: {ansible_host: 192.0.2.22, node_name: worker-two}
image_store:
  hosts:
    STORE
"""
PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: cctv.pipeline.image_store
        tasks_from: preflight
        public: true
    - ansible.builtin.copy:
        content: >-
          {{ {'problems': image_store_preflight_problems,
              'claim': lookup('ansible.builtin.template', templates ~ '/image_store.yaml.j2') | from_yaml,
              'volume': lookup('ansible.builtin.template', templates ~ '/admin/volume.yaml.j2') | from_yaml,
              'server': lookup('ansible.builtin.template', templates ~ '/server/ganesha.conf.j2')} | to_json }}
        dest: "{{ playbook_dir }}/made.json"
        mode: "0600"
"""
Make = Callable[..., dict[str, Any]]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """What the role makes of an inventory, whose group image_store has the hosts of ``store``, and variables."""

    def made(store: str = "w2:", **variables: object) -> dict[str, Any]:
        (tmp_path / "hosts.yml").write_text(INVENTORY.replace("STORE", store))
        (tmp_path / "play.yml").write_text(PLAY)
        said = {"templates": str(ROOT / "roles/image_store/templates"), "workload_runtime": "kubernetes"} | variables
        done = subprocess.run(
            [
                *(sys.executable, "-m", "ansible", "playbook", "--inventory", str(tmp_path / "hosts.yml")),
                *("--extra-vars", json.dumps(said), str(tmp_path / "play.yml")),
            ],
            env=os.environ
            | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_PYTHON_INTERPRETER": sys.executable},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        found: dict[str, Any] = json.loads((tmp_path / "made.json").read_text())
        return found

    return made


def test_the_host_of_the_group_is_the_server_and_nodes_are_its_clients(make: Make) -> None:
    made = make()
    assert made["problems"] == []
    assert made["volume"]["spec"]["nfs"] == {"server": "192.0.2.22", "path": "/image-store"}
    assert "hard" in made["volume"]["spec"]["mountOptions"]
    assert "Clients = 192.0.2.10, 192.0.2.21, 192.0.2.22;" in made["server"]
    assert made["volume"]["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    claim = made["claim"]["spec"]
    assert claim["accessModes"] == made["volume"]["spec"]["accessModes"] == ["ReadWriteMany"]
    assert (claim["volumeName"], claim["storageClassName"]) == (made["volume"]["metadata"]["name"], "")
    bound = made["volume"]["spec"]["claimRef"]
    assert (bound["namespace"], bound["name"]) == ("cctv", made["claim"]["metadata"]["name"])


def test_another_port_is_one_of_the_mount_options(make: Make) -> None:
    assert "port=20490" in make(image_store_port=20490)["volume"]["spec"]["mountOptions"]


def test_a_site_s_own_server_is_taken(make: Make) -> None:
    made = make("", image_store_server="nas.example.org", image_store_path="/volume1/cctv")
    assert made["problems"] == []
    assert made["volume"]["spec"]["nfs"] == {"server": "nas.example.org", "path": "/volume1/cctv"}


def test_a_folder_of_a_node_is_where_its_pods_go(make: Make) -> None:
    made = make(image_store_backend="local", image_store_folder="/srv/images")
    assert made["problems"] == []
    assert made["volume"]["spec"]["local"] == {"path": "/srv/images"}
    (term,) = made["volume"]["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["worker-two"]}]


def test_a_storage_class_gives_the_volume(make: Make) -> None:
    made = make("", image_store_storage_class="cephfs")
    assert made["problems"] == []
    assert made["claim"]["spec"]["storageClassName"] == "cephfs"
    assert "volumeName" not in made["claim"]["spec"]


@pytest.mark.parametrize(
    ("store", "variables", "start"),
    [
        ("", {}, "image_store_backend=nfs: expected one host in the group image_store, not 0"),
        ("", {"image_store_backend": "local"}, "image_store_backend=local: expected one host in the group image_store"),
        ("w2:", {"image_store_path": "/a;b"}, "image_store_path=/a;b"),
        ("w2:", {"image_store_networks": ["any where"]}, "image_store_networks=any where"),
        ("w2:", {"image_store_size": "much"}, "image_store_size=much"),
        ("", {"image_store_server": "nas/x"}, "image_store_server=nas/x"),
    ],
)
def test_what_cannot_work_is_refused(make: Make, store: str, variables: dict[str, Any], start: str) -> None:
    (problem,) = make(store, **variables)["problems"]
    assert problem.startswith(start)
    assert "expected" in problem


def test_two_hosts_with_half_of_the_pictures_each_are_refused(make: Make) -> None:
    told = make("{w1: , w2: }")["problems"]
    assert any("image_store has 2 hosts (w1, w2)" in problem for problem in told)


def test_one_machine_asks_for_nothing(make: Make) -> None:
    assert make("", workload_runtime="local")["problems"] == []


def test_each_namespace_has_a_store_of_its_own(make: Make) -> None:
    made = make(image_store_size="5Ti", workload_namespace="yard")
    assert made["claim"]["spec"]["resources"]["requests"] == made["volume"]["spec"]["capacity"] == {"storage": "5Ti"}
    assert made["claim"]["spec"]["volumeName"] == made["volume"]["metadata"]["name"] == "yard-image-store"
    assert made["volume"]["spec"]["claimRef"]["namespace"] == "yard"


def test_the_archiver_writes_to_the_claim_and_is_alone(render: Render) -> None:
    made = render("archiver")["archiver"]
    assert made["problems"] == []
    (deployment,) = (manifest for manifest in made["manifests"] if manifest["kind"] == "Deployment")
    assert (deployment["spec"]["replicas"], deployment["spec"]["strategy"]["type"]) == (1, "Recreate")
    pod = deployment["spec"]["template"]["spec"]
    claims = {v["name"]: v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"] if "emptyDir" not in v}
    mounts = {claims.get(mount["name"]): mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    (config,) = (manifest["data"] for manifest in made["manifests"] if manifest["kind"] == "ConfigMap")
    assert mounts["image-store"] == config["IMAGE_STORE_DIR"]


def test_the_archiver_s_wrong_settings_are_told(render: Render) -> None:
    told = render("archiver", archiver_retention_hours="a week", archiver_retention_bytes="20 GB")["archiver"][
        "problems"
    ]
    assert [problem.partition(":")[0] for problem in told] == [
        "archiver_retention_hours=a week",
        "archiver_retention_bytes=20 GB",
    ]
