"""What a cluster's Prometheus and Grafana are given."""

from __future__ import annotations

import json
import re
from typing import Any

import checkout
import yaml

from .conftest import Render

ROLE = checkout.ROOT / "roles/monitoring"
FILES = ROLE / "files"


def made_by(render: Render, **variables: object) -> dict[str, dict[str, Any]]:
    made = render("monitoring", role_path=str(ROLE), **variables)["monitoring"]["manifests"]
    return {f"{manifest['kind']}/{manifest['metadata']['name']}": manifest for manifest in made}


def test_config_maps_have_the_files_as_they_are(render: Render) -> None:
    made = made_by(render, workload_namespace="cctv")
    assert set(made) == {"ConfigMap/monitoring-dashboard", "ConfigMap/monitoring-prometheus"}
    dashboard, prometheus = made["ConfigMap/monitoring-dashboard"], made["ConfigMap/monitoring-prometheus"]
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(dashboard["data"]["cctv-pipeline.json"]) == json.loads(
        (FILES / "grafana/cctv-pipeline.json").read_text()
    )
    rules = (FILES / "prometheus/cctv-pipeline.rules.yml").read_text()
    assert yaml.safe_load(prometheus["data"]["cctv-pipeline.rules.yml"]) == yaml.safe_load(rules)
    (job,) = yaml.safe_load(prometheus["data"]["cctv-pipeline.scrape.yml"])["scrape_configs"]
    assert job["kubernetes_sd_configs"] == [{"role": "pod", "namespaces": {"names": ["cctv"]}}]


def test_prometheus_keeps_each_pod_s_port_with_metrics(render: Render, manifests: list[dict[str, Any]]) -> None:
    made = made_by(render, workload_namespace="cctv")
    (job,) = yaml.safe_load(made["ConfigMap/monitoring-prometheus"]["data"]["cctv-pipeline.scrape.yml"])[
        "scrape_configs"
    ]
    asked: dict[str, list[int]] = {}
    for manifest in manifests:
        template = manifest.get("spec", {}).get("template")
        for container in template["spec"]["containers"] if template else []:
            for port in container.get("ports", []):
                found = {
                    f"__meta_kubernetes_pod_label_{re.sub('[^a-zA-Z0-9]', '_', name)}": value
                    for name, value in template["metadata"]["labels"].items()
                } | {
                    "__meta_kubernetes_pod_container_port_name": port["name"],
                    "__meta_kubernetes_pod_phase": "Running",
                }
                if relabelled(found, job["relabel_configs"]):
                    asked.setdefault(manifest["metadata"]["name"], []).append(port["containerPort"])
    workloads = {m["metadata"]["name"] for m in manifests if "template" in m.get("spec", {})}
    assert set(asked) == workloads
    assert {name: len(ports) for name, ports in asked.items()} == dict.fromkeys(workloads, 1)


def relabelled(labels: dict[str, str], rules: list[dict[str, Any]]) -> bool:
    """Whether Prometheus asks a target of such labels."""
    for rule in rules:
        value = ";".join(labels.get(name, "") for name in rule["source_labels"])
        matches = re.fullmatch(rule.get("regex", "(.*)"), value) is not None
        if (rule.get("action") == "keep" and not matches) or (rule.get("action") == "drop" and matches):
            return False
    return True


def test_an_operator_is_given_its_own_kinds(render: Render) -> None:
    said = {"monitoring_operator": True, "monitoring_operator_labels": {"release": "prometheus"}}
    made = made_by(render, workload_namespace="cctv", **said)
    rules = yaml.safe_load((FILES / "prometheus/cctv-pipeline.rules.yml").read_text())
    assert made["PrometheusRule/cctv-pipeline"]["spec"] == rules
    assert made["PodMonitor/cctv-pipeline"]["metadata"]["labels"]["release"] == "prometheus"
    ports = [endpoint["port"] for endpoint in made["PodMonitor/cctv-pipeline"]["spec"]["podMetricsEndpoints"]]
    assert ports == ["metrics", "health", "rest", "http"]


def test_wrong_values_are_told(render: Render) -> None:
    said = {"monitoring_scrape_interval_seconds": 0, "monitoring_operator": True, "workload_runtime": "local"}
    told = render("monitoring", role_path=str(ROLE), workload_namespace="cctv", **said)["monitoring"]["problems"]
    assert [problem.partition(":")[0] for problem in told] == [
        "monitoring_scrape_interval_seconds=0",
        "monitoring_operator=True",
    ]
