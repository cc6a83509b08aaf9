"""What an administrator applies: the manifests of the role addons, with its defaults."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import checkout
import jinja2
import pytest
import yaml

ROLE = checkout.ROOT / "roles/addons"
DEFAULTS = yaml.safe_load((ROLE / "defaults/main.yml").read_text())


def rendered(*names: str, **variables: Any) -> str:
    """Templates as Ansible renders them, one after the other."""
    environment = jinja2.Environment(
        trim_blocks=True, undefined=jinja2.StrictUndefined, loader=jinja2.FileSystemLoader(ROLE / "templates")
    )
    environment.filters |= {
        "bool": bool,
        "to_json": lambda value, **__: yaml.dump(value, default_flow_style=True, width=10_000).strip(),
    }
    values = {
        **DEFAULTS,
        "__addons_namespace": "cctv",
        "role_path": str(ROLE),
        "lookup": lambda __, path: Path(path).read_text().rstrip(),
        "detection_enabled": False,
        **variables,
    }
    return "\n---\n".join(environment.get_template(f"{name}.yaml.j2").render(values).rstrip() for name in names)


def manifests(*names: str, **variables: Any) -> dict[str, dict[str, Any]]:
    """The same, parsed, by kind and name."""
    found = [each for each in yaml.safe_load_all(rendered(*names, **variables)) if each]
    return {f"{each['kind']} {each['metadata']['name']}": each for each in found}


def test_documentation_shows_what_is_applied() -> None:
    text = (checkout.ROOT / "docs/existing.md").read_text()
    shown = re.findall(r"^```yaml\n(.*?)^```$", text, re.M | re.S)
    assert rendered("namespace", "priorities", "access") + "\n" in shown


def test_account_reaches_nothing_beyond_its_namespace() -> None:
    made = manifests("access", "token", addons_account="ci", __addons_namespace="site")
    assert {kind.split()[0] for kind in made} == {"ServiceAccount", "Role", "RoleBinding", "Secret"}
    assert {each["metadata"]["namespace"] for each in made.values()} == {"site"}
    assert made["RoleBinding ci"]["subjects"] == [{"kind": "ServiceAccount", "name": "ci", "namespace": "site"}]
    for rule in made["Role ci"]["rules"]:
        # What would let it take other rights, or run commands in what others run.
        assert not {"*", "serviceaccounts", "roles", "rolebindings", "pods/exec", "pods/attach"} & set(
            rule["resources"]
        )
        assert not {"*", "bind", "escalate", "impersonate"} & set(rule["verbs"])
        assert "*" not in rule["apiGroups"]


def test_nothing_of_it_is_pruned_as_the_pipelines() -> None:
    for name, made in manifests("namespace", "priorities", "access", "token", "storage", "metrics").items():
        assert "app.kubernetes.io/part-of" not in made["metadata"].get("labels", {}), name


@pytest.mark.parametrize("template", ["storage", "metrics"])
def test_pods_of_ours_meet_pod_security_restricted(template: str) -> None:
    for made in manifests(template).values():
        if made["kind"] != "Deployment":
            continue
        pod = made["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["readOnlyRootFilesystem"] is True


def test_images_are_those_of_the_bundle() -> None:
    bundle = yaml.safe_load((checkout.ROOT / "roles/bundle/vars/main/cluster.yml").read_text())
    names = {image["name"] for image in bundle["__bundle_images"]}
    for variable, module in (
        ("addons_storage_image", "local-path-provisioner"),
        ("addons_metrics_image", "metrics-server"),
    ):
        name, version = DEFAULTS[variable].rsplit(":", 1)
        assert name in names
        required = (checkout.ROOT / f"roles/bundle/files/go/{module}/go.mod").read_text()
        assert re.search(rf"/{module} {re.escape(version)}(?: // indirect)?$", required, re.M), (variable, version)
    assert DEFAULTS["addons_storage_helper_image"].rsplit(":", 1)[0] in names


def test_kubelets_certificates_are_checked_where_a_site_says_so() -> None:
    def arguments(insecure: bool) -> list[str]:
        made = manifests("metrics", addons_metrics_kubelet_insecure_tls=insecure)["Deployment metrics-server"]
        return made["spec"]["template"]["spec"]["containers"][0]["args"]

    assert "--kubelet-insecure-tls" in arguments(True)
    assert "--kubelet-insecure-tls" not in arguments(False)
