"""The policies let through what the services' environments say that they connect to, and nothing else."""

from __future__ import annotations

import re
from typing import Any

import pytest

ADDRESS = re.compile(r"\b([a-z-]+)\.cctv\.svc:(\d+)(?::(\d+))?")
Pod = dict[str, Any]


class Site:
    """All pods, and the policies between them."""

    def __init__(self, manifests: list[dict[str, Any]]) -> None:
        self._policies = [m["spec"] for m in manifests if m["kind"] == "NetworkPolicy"]
        self._config = {m["metadata"]["name"]: m["data"] for m in manifests if m["kind"] == "ConfigMap"}
        self.pods = {m["metadata"]["name"]: m["spec"]["template"] for m in manifests if "template" in m.get("spec", {})}

    def ports(self, name: str) -> dict[int, str]:
        (container,) = self.pods[name]["spec"]["containers"]
        return {port["containerPort"]: port["name"] for port in container["ports"]}

    def environment(self, name: str) -> str:
        (container,) = self.pods[name]["spec"]["containers"]
        texts = [str(variable.get("value", "")) for variable in container["env"]]
        for variable in container["env"]:
            if key := variable.get("valueFrom", {}).get("configMapKeyRef"):
                texts.append(self._config[key["name"]][key["key"]])
        for source in container["envFrom"]:
            if "configMapRef" in source:
                texts.extend(self._config[source["configMapRef"]["name"]].values())
        return "\n".join(texts)

    def rules(self, pod: Pod, direction: str) -> list[dict[str, Any]] | None:
        """The rules that hold for a pod; None where nothing is denied."""
        mine = [policy for policy in self._policies if selects(policy["podSelector"], pod)]
        mine = [policy for policy in mine if direction.capitalize() in policy["policyTypes"]]
        return [rule for policy in mine for rule in policy.get(direction, [])] if mine else None

    def lets_through(self, source: Pod, target: Pod, port: str) -> bool:
        egress, ingress = self.rules(source, "egress"), self.rules(target, "ingress")
        return (egress is None or any(meets(rule.get("to"), target) and "ports" not in rule for rule in egress)) and (
            ingress is None
            or any(
                meets(rule.get("from"), source) and port in [p["port"] for p in rule.get("ports", [])]
                for rule in ingress
            )
        )


def selects(selector: dict[str, Any], pod: Pod) -> bool:
    labels = pod["metadata"]["labels"]
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()) and all(
        labels.get(said["key"]) in said["values"] for said in selector.get("matchExpressions", [])
    )


def meets(peers: list[dict[str, Any]] | None, pod: Pod) -> bool:
    return peers is None or any("podSelector" in peer and selects(peer["podSelector"], pod) for peer in peers)


@pytest.fixture(scope="module")
def site(manifests: list[dict[str, Any]]) -> Site:
    return Site(manifests)


def test_the_policies_are_what_the_environments_say(site: Site) -> None:
    wanted = set()
    for name in site.pods:
        for target, *ports in ADDRESS.findall(site.environment(name)):
            wanted |= {(name, target, site.ports(target)[int(port)]) for port in ports if port}
    passed = {
        (source, target, port)
        for source in site.pods
        for target in site.pods
        for port in site.ports(target).values()
        if site.lets_through(site.pods[source], site.pods[target], port)
    }
    from_anywhere = {(source, "video", "http") for source in site.pods}
    assert passed - from_anywhere == wanted


def test_from_elsewhere_only_the_page_is_reached(site: Site) -> None:
    stranger = {"metadata": {"labels": {"app": "any"}}}
    reached = {
        (name, port)
        for name, pod in site.pods.items()
        for port in site.ports(name).values()
        if site.lets_through(stranger, pod, port)
    }
    assert reached == {("video", "http")}


def test_only_producers_of_cameras_reach_what_is_no_pod_of_the_pipeline(site: Site) -> None:
    free = {name for name, pod in site.pods.items() if {} in (site.rules(pod, "egress") or [{}])}
    assert free == {"producer-door"}


def test_everyone_may_ask_for_names(site: Site) -> None:
    for pod in site.pods.values():
        ports = [port for rule in site.rules(pod, "egress") or [] for port in rule.get("ports", [])]
        assert {"protocol": "UDP", "port": 53} in ports
        assert {"protocol": "TCP", "port": 53} in ports
