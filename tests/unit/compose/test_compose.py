"""What becomes of manifests in a Compose file, and what is refused."""

from __future__ import annotations

import base64
import copy
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.cctv.pipeline.plugins.filter.complete import complete
from ansible_collections.cctv.pipeline.plugins.filter.compose import compose

DEST = "/srv/cctv"
Manifest = dict[str, Any]


def config_map(name: str, **data: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def secret(name: str, **data: str) -> Manifest:
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": encoded}


def service(name: str = "app", **more: Any) -> Manifest:
    ports = [{"name": "http", "port": 80, "targetPort": "http", **more}]
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": ports}}


def workload(name: str = "app", kind: str = "Deployment", replicas: int = 1, **container: Any) -> Manifest:
    pod = {key: container.pop(key) for key in ("volumes", "terminationGracePeriodSeconds") if key in container}
    spec: Manifest = {"replicas": replicas}
    if kind == "StatefulSet":
        spec["serviceName"] = name
        spec["volumeClaimTemplates"] = container.pop("claims", [])
    container = {"name": name, "image": "cctv/app:1", "ports": [{"name": "http", "containerPort": 80}], **container}
    spec["template"] = {"spec": {"containers": [container], **pod}}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def made(*manifests: Manifest, **options: Any) -> Manifest:
    return compose(complete(list(manifests), "app", "cctv"), DEST, **options)


def services(*manifests: Manifest, **options: Any) -> Manifest:
    return made(*manifests, **options)["project"]["services"]


def refusal(*manifests: Manifest) -> str:
    with pytest.raises(AnsibleFilterError) as refused:
        made(*manifests)
    return str(refused.value)


def contents(files: list[Manifest]) -> dict[str, str]:
    return {file["dest"].removeprefix(DEST + "/"): file["content"] for file in files}


def test_each_replica_is_a_service_that_knows_its_own_name():
    found = services(workload(replicas=2))
    assert {name: one["environment"]["POD_NAME"] for name, one in found.items()} == {"app-0": "app-0", "app-1": "app-1"}


def test_the_names_of_a_clusters_dns_lead_to_the_replicas():
    found = services(service("db"), workload("db", "StatefulSet", 2), service(), workload(replicas=2))
    aliases = {name: one["networks"]["default"]["aliases"] for name, one in found.items()}
    assert aliases == {
        "app-0": ["app.cctv.svc"],
        "app-1": ["app.cctv.svc"],
        "db-0": ["db-0.db.cctv.svc", "db.cctv.svc"],
        "db-1": ["db-1.db.cctv.svc", "db.cctv.svc"],
    }


def test_a_service_may_stand_for_one_replica():
    one = service("db-1")
    one["spec"]["selector"] = {"statefulset.kubernetes.io/pod-name": "db-1"}
    found = services(one, workload("db", "StatefulSet", 2))
    assert [name for name, each in found.items() if each["networks"]["default"]] == ["db-1"]


def test_a_node_port_is_published_once_and_only_where_told():
    found = services(service(nodePort=30080), workload(replicas=2), listen_address="192.0.2.7")
    assert [one.get("ports") for one in found.values()] == [["192.0.2.7:30080:80"], None]
    (one,) = services(service(nodePort=30080), workload()).values()
    assert one["ports"] == ["127.0.0.1:30080:80"]


def test_what_pod_security_restricts_compose_restricts_too():
    (one,) = services(workload()).values()
    assert one["user"] == "10001:10001"
    assert one["read_only"] is True
    assert one["cap_drop"] == ["ALL"]
    assert one["security_opt"] == ["no-new-privileges:true"]


def test_what_keeps_state_starts_before_and_ends_after_what_is_told_its_name():
    def told(name: str, kind: str, address: str) -> Manifest:
        return workload(name, kind, 2, env=[{"name": "PEERS", "value": address}])

    ensemble = told("zk", "StatefulSet", "zk-0.zk.cctv.svc:1,zk-1.zk.cctv.svc:1")
    broker = told("kafka", "StatefulSet", "zk-1.zk.cctv.svc:1/zk-11.zk.cctv.svc:1")
    client = workload("app", env=[{"name": "URL", "value": "http://kafka.cctv.svc:9,models.cctv.svc"}])
    found = services(service("zk"), service("kafka"), service("models"), ensemble, broker, client, workload("models"))
    assert {name: one["depends_on"] for name, one in found.items() if "depends_on" in one} == {
        "app-0": ["kafka-0", "kafka-1"],
        "kafka-0": ["zk-1"],
        "kafka-1": ["zk-1"],
    }


def test_two_that_know_each_other_do_not_wait_for_each_other():
    one = workload("one", "StatefulSet", env=[{"name": "OTHER", "value": "two.cctv.svc"}])
    two = workload("two", "StatefulSet", env=[{"name": "OTHER", "value": "one.cctv.svc"}])
    found = services(service("one"), service("two"), one, two)
    assert [each.get("depends_on") for each in found.values()] == [["two-0"], None]


def test_limits_and_the_grace_period_are_kept():
    limits = {"memory": "1.5Gi", "cpu": "250m"}
    (one,) = services(workload(resources={"limits": limits}, terminationGracePeriodSeconds=7)).values()
    assert (one["mem_limit"], one["cpus"], one["stop_grace_period"]) == (1610612736, 0.25, "7s")


def test_command_and_arguments_are_expanded_and_nothing_else_in_them():
    env = [{"name": "PORT", "value": "80"}]
    (one,) = services(workload(command=["app"], args=["--port=$(PORT)", "$$(PORT)", "${HOME}"], env=env)).values()
    assert one["entrypoint"] == ["app"]
    # Compose makes one $ of two.
    assert one["command"] == ["--port=80", "$$(PORT)", "$${HOME}"]


def test_an_image_without_a_command_keeps_its_own():
    (one,) = services(workload(args=["--fast"])).values()
    assert "entrypoint" not in one
    assert one["command"] == ["--fast"]


def test_secrets_are_in_files_that_only_their_owner_reads_and_nowhere_else():
    app = workload(
        envFrom=[{"configMapRef": {"name": "open"}}, {"secretRef": {"name": "closed"}}],
        env=[{"name": "URL", "value": "sasl://me:$(PASSWORD)@$(HOST)"}],
    )
    result = made(config_map("open", HOST="kafka"), secret("closed", PASSWORD="hunter2"), app)
    (one,) = result["project"]["services"].values()
    assert one["environment"]["HOST"] == "kafka"
    assert one["env_file"] == ["env/app-0.env"]
    assert "hunter2" not in json.dumps([result["project"], result["files"]])
    (file,) = result["secrets"]
    assert file == {
        "dest": DEST + "/env/app-0.env",
        "content": "PASSWORD='hunter2'\nURL='sasl://me:hunter2@kafka'\n",
        "mode": "0600",
    }


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("pa$$word #1", "'pa$$word #1'"),
        ('a"b', "'a\"b'"),
        ("it's", '"it\'s"'),
        ('back\\slash "q"', '"back\\\\slash \\"q\\""'),
        ("two\nlines", "'two\nlines'"),
    ],
)
def test_secrets_are_quoted_as_docker_compose_and_podman_compose_both_read_them(value: str, line: str):
    result = made(secret("closed", KEY=value), workload(envFrom=[{"secretRef": {"name": "closed"}}]))
    assert result["secrets"][0]["content"] == f"KEY={line}\n"


@pytest.mark.parametrize("value", ["${HOME}", "$it's"])
def test_a_secret_that_cannot_be_quoted_is_refused_by_its_name_alone(value: str):
    told = refusal(secret("closed", KEY=value), workload(envFrom=[{"secretRef": {"name": "closed"}}]))
    assert "app-0" in told
    assert "KEY" in told
    assert value not in told


def test_a_secret_on_a_command_line_is_refused():
    env = [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "closed", "key": "KEY"}}}]
    told = refusal(secret("closed", KEY="hunter2"), workload(command=["app", "--key=$(KEY)"], env=env))
    assert "command line" in told
    assert "hunter2" not in told


def mounting(kind: str, source: Manifest) -> Manifest:
    return workload(volumes=[{"name": "v", kind: source}], volumeMounts=[{"name": "v", "mountPath": "/etc/app"}])


@pytest.mark.parametrize(
    ("manifest", "volume", "folder", "where"),
    [
        (config_map("open", **{"a.json": "{}"}), ("configMap", {"name": "open"}), "config/open", "files"),
        (secret("closed", **{"a.json": "{}"}), ("secret", {"secretName": "closed"}), "secrets/closed", "secrets"),
    ],
)
def test_mounted_files_are_beside_the_compose_file(manifest, volume, folder: str, where: str):
    result = made(manifest, mounting(*volume))
    assert contents(result[where]) == {f"{folder}/a.json": "{}"}
    (one,) = result["project"]["services"].values()
    (mounted,) = one["volumes"]
    assert (mounted["source"], mounted["target"], mounted["read_only"]) == ("./" + folder, "/etc/app", True)


def test_a_changed_file_changes_those_that_read_it_and_no_others():
    def labels(content: str) -> list[Manifest]:
        reader = mounting("configMap", {"name": "open"})
        return [one["labels"] for one in services(config_map("open", a=content), reader, workload("other")).values()]

    reader, other = labels("1")
    changed, same = labels("2")
    assert reader != changed
    assert other == same


def test_a_changed_secret_changes_those_that_read_it_though_nothing_of_it_is_published():
    def labels(value: str, revision: str) -> Manifest:
        reader = workload(envFrom=[{"secretRef": {"name": "closed"}}])
        revisions = {DEST + "/env/app-0.env": revision}
        return services(secret("closed", KEY=value), reader, revisions=revisions)["app-0"]["labels"]

    assert labels("hunter2", "1") == labels("hunter3", "1")
    assert labels("hunter2", "1") != labels("hunter2", "2")


def test_claims_are_named_volumes_and_empty_folders_are_in_memory():
    claims = [{"metadata": {"name": "data"}, "spec": {}}]
    stateful = workload(
        "db",
        "StatefulSet",
        2,
        claims=claims,
        volumes=[{"name": "run", "emptyDir": {"sizeLimit": "1Mi"}}],
        volumeMounts=[{"name": "data", "mountPath": "/data"}, {"name": "run", "mountPath": "/run"}],
    )
    result = made(service("db"), stateful)["project"]
    assert result["volumes"] == {"data-db-0": {}, "data-db-1": {}}
    one = result["services"]["db-1"]
    assert one["volumes"] == [{"type": "volume", "source": "data-db-1", "target": "/data"}]
    assert sorted(one["tmpfs"]) == ["/run:exec,mode=1777,size=1048576", "/tmp:exec,mode=1777"]


@pytest.mark.parametrize(
    ("manifests", "named"),
    [
        ((workload(securityContext={"privileged": True}),), "securityContext.privileged"),
        ((workload(resources={"limits": {"nvidia.com/gpu": 1}}),), "resources.limits.nvidia.com/gpu"),
        ((workload(tty=True),), "tty is not understood by compose"),
        ((service(port=81), workload()), "expected one number: compose has no proxy"),
        ((workload(envFrom=[{"configMapRef": {"name": "none"}}]),), "ConfigMap none does not exist"),
        ((workload(resources={"limits": {"memory": "much"}}),), "'much' is no quantity"),
        (({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"}, "spec": {}},), "Job once"),
    ],
)
def test_what_compose_cannot_do_is_refused_by_name(manifests: tuple[Manifest, ...], named: str):
    assert named in refusal(*copy.deepcopy(manifests))


@pytest.fixture
def http() -> Iterator[Callable[[int], int]]:
    """A server that answers with a status, and its port."""
    started = []

    def start(status: int) -> int:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status if self.path == "/healthz?a=1&b" else 404)
                self.end_headers()

            def log_message(self, *__: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        started.append((server, thread))
        return server.server_address[1]

    yield start
    for server, thread in started:
        server.shutdown()
        thread.join()
        server.server_close()


def checked(probe: Manifest) -> bool:
    """Run a container's health check as an engine would."""
    (one,) = services(workload(livenessProbe=probe)).values()
    kind, *command = one["healthcheck"]["test"]
    assert kind == "CMD"
    asked = [word.replace("$$", "$") for word in command]
    return subprocess.run(asked, timeout=20, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (302, True), (404, False), (503, False)])
def test_a_health_check_judges_an_answer_as_a_kubelet_does(http: Callable[[int], int], status: int, healthy: bool):
    assert checked({"httpGet": {"path": "/healthz?a=1&b", "port": http(status)}}) is healthy


def test_a_health_check_sees_whether_a_port_listens(http: Callable[[int], int]):
    assert checked({"tcpSocket": {"port": http(200)}})
    assert not checked({"tcpSocket": {"port": 1}})


def test_a_health_check_may_be_a_command_of_the_image():
    assert checked({"exec": {"command": ["true"]}})
    assert not checked({"exec": {"command": ["false"]}})


def test_containers_are_given_the_time_that_their_start_may_take():
    get = {"httpGet": {"path": "/", "port": "http"}}
    startup = {**get, "initialDelaySeconds": 3, "periodSeconds": 2, "failureThreshold": 30}
    (one,) = services(workload(livenessProbe={**get, "failureThreshold": 4}, startupProbe=startup)).values()
    assert (one["healthcheck"]["start_period"], one["healthcheck"]["retries"]) == ("63s", 4)


def test_the_network_is_as_told():
    assert made(workload(), network={"internal": True})["project"]["networks"] == {"default": {"internal": True}}
