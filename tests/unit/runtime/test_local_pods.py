import base64
import copy

import pytest
from ansible_collections.cctv.pipeline.plugins.module_utils.local_pods import Refused, Store, expand


def config_map(name: str, **data: str) -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def workload(name: str = "app", kind: str = "Deployment", replicas: int = 1, **container) -> dict:
    container.setdefault("command", ["app"])
    volumes = container.pop("volumes", [])
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": name, **container}], "volumes": volumes},
            },
        },
    }


def service(name: str = "app", port: int = 80, **more) -> dict:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": port, "targetPort": "http", **more}]},
    }


HTTP = [{"name": "http", "containerPort": 80}]


def store(*manifests: dict, environment: dict | None = None, **options) -> Store:
    return Store({"c": {"manifests": list(manifests), "environment": environment or {}}}, "127.0", **options)


def one(*manifests: dict, **options):
    (pod,) = store(*manifests, **options).pods()
    return pod


def refusal(*manifests: dict, **options) -> list[str]:
    with pytest.raises(Refused) as refused:
        store(*manifests, **options).pods()
    return refused.value.problems


def test_environment_comes_in_kubernetes_order_and_the_last_one_wins():
    pod = one(
        config_map("first", A="1", B="1", C="1"),
        config_map("second", B="2", C="2"),
        workload(
            envFrom=[{"configMapRef": {"name": "first"}}, {"configMapRef": {"name": "second"}, "prefix": ""}],
            env=[{"name": "C", "value": "3"}, {"name": "D", "value": "$(A)$(B)$(C) $$(A) $(NOBODY)"}],
        ),
        environment={"A": "0", "Z": "0"},
    )
    assert pod.env == {"A": "1", "B": "2", "C": "3", "D": "123 $(A) $(NOBODY)", "Z": "0"}


def test_arguments_refer_to_the_environment():
    pod = one(workload(args=["--port=$(PORT)"], env=[{"name": "PORT", "value": "9"}]))
    assert pod.argv == ["app", "--port=9"]


def test_secrets_are_decoded():
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s"},
        "data": {"A": base64.b64encode(b"a").decode()},
        "stringData": {"B": "b"},
    }
    pod = one(
        secret,
        workload(
            envFrom=[{"secretRef": {"name": "s"}}],
            env=[{"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "B"}}}],
        ),
    )
    assert pod.env == {"A": "a", "B": "b", "C": "b"}


def test_a_replica_is_told_its_own_name_and_address():
    env = [
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
    ]
    first, second = store(workload(replicas=2, env=env, ports=HTTP), service()).pods()
    assert first.env == {"POD_IP": "127.0.0.1", "POD_NAME": "app-0", "APP": "app"}
    assert second.env == {"POD_IP": second.address, "POD_NAME": "app-1", "APP": "app"}
    assert second.address.startswith("127.0.")
    assert second.address != "127.0.0.1"


def test_no_two_processes_ever_want_the_same_port():
    cameras = [workload(f"producer-{number}", ports=HTTP) for number in range(60)]
    pods = store(*cameras, workload(replicas=3, ports=HTTP), service()).pods()
    assert len({pod.address for pod in pods}) == 63


def test_a_process_keeps_its_address_when_others_come_and_go():
    before = store(workload("a", ports=HTTP), workload("b", ports=HTTP))
    address = {pod.name: pod.address for pod in before.pods()}["b-0"]
    assert one(workload("b", ports=HTTP), addresses=before.addresses).address == address


def test_two_services_with_one_port_are_refused_with_both_names():
    manifests = [workload("a", ports=HTTP), service("a"), workload("b", ports=HTTP), service("b")]
    assert refusal(*manifests) == ["a-0 and b-0 both want 127.0.0.1:80"]


@pytest.mark.parametrize("wrong", [{"port": 8080}, {"nodePort": 30163}])
def test_a_service_that_would_need_a_proxy_is_refused(wrong):
    (problem,) = refusal(workload(ports=HTTP), service(**wrong))
    assert problem.startswith("Service app: port http leads from")


def test_a_missing_config_map_is_refused_but_not_in_check_mode():
    manifest = workload(envFrom=[{"configMapRef": {"name": "kafka-client"}}])
    assert refusal(manifest) == ["Deployment app: ConfigMap kafka-client does not exist"]
    assert one(manifest, lenient=True).env == {}


def test_a_missing_key_is_refused():
    env = [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "A"}}}]
    assert refusal(config_map("m"), workload(env=env)) == ["Deployment app: ConfigMap m has no key A"]


def test_a_path_in_the_environment_follows_its_volume():
    pod = one(
        config_map("files", **{"labels.json": "[]"}),
        workload(
            env=[{"name": "LABELS", "value": "/etc/app/labels.json"}, {"name": "OTHER", "value": "/etc/apple"}],
            args=["--labels=$(LABELS)"],
            volumeMounts=[{"name": "files", "mountPath": "/etc/app"}],
            volumes=[{"name": "files", "configMap": {"name": "files"}}],
        ),
    )
    assert pod.files == {"files": {"labels.json": "[]"}}
    assert pod.env["LABELS"] == "\0files\0/labels.json"
    assert pod.env["OTHER"] == "/etc/apple"
    assert pod.argv[1] == "--labels=\0files\0/labels.json"


def test_each_replica_of_a_stateful_set_has_its_own_claim():
    manifest = workload(kind="StatefulSet", replicas=2)
    manifest["spec"]["volumeClaimTemplates"] = [{"metadata": {"name": "data"}, "spec": {}}]
    assert [pod.claims for pod in store(manifest).pods()] == [{"data": "data-app-0"}, {"data": "data-app-1"}]


def test_the_digest_follows_what_a_process_reads_and_nothing_else():
    read, unread = config_map("read", A="1"), config_map("unread", A="1")
    manifest = workload(envFrom=[{"configMapRef": {"name": "read"}}], ports=HTTP)
    digest = one(read, unread, manifest).digest

    unread["data"]["A"] = "2"
    probed = copy.deepcopy(manifest)
    probed["spec"]["template"]["spec"]["containers"][0]["livenessProbe"] = {"tcpSocket": {"port": "http"}}
    assert one(read, unread, probed).digest == digest

    read["data"]["A"] = "2"
    assert one(read, unread, manifest).digest != digest


@pytest.mark.parametrize("command", [[], ["/usr/bin/app"]])
def test_a_command_that_is_no_bare_program_name_is_refused(command):
    (problem,) = refusal(workload(command=command))
    assert "expected a bare program name" in problem


def test_two_containers_in_a_pod_are_refused():
    manifest = workload()
    containers = manifest["spec"]["template"]["spec"]["containers"]
    containers.append({"name": "sidecar", "command": ["sidecar"]})
    assert refusal(manifest) == ["Deployment app: has 2 containers, the local runtime runs exactly one in a pod"]


def test_all_problems_come_at_once():
    found = refusal(workload("a", command=["/bin/a"]), workload("b", envFrom=[{"configMapRef": {"name": "m"}}]))
    assert len(found) == 2


@pytest.mark.parametrize(
    ("text", "expanded"), [("$(A)", "1"), ("$$(A)", "$(A)"), ("$$$(A)", "$1"), ("$A", "$A"), ("$(B)", "$(B)")]
)
def test_references_expand_as_kubernetes_says(text, expanded):
    assert expand(text, {"A": "1"}) == expanded
