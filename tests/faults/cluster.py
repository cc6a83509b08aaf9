"""The cluster that is broken: its API server, and its nodes, which are podman's containers on this machine."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes
import urllib3
from kubernetes.client import V1Pod
from kubernetes.stream import stream
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

PART_OF = "app.kubernetes.io/part-of=cctv-pipeline"
NAME = "app.kubernetes.io/name"
COUNTS_FRAMES = ("producer", "consumer", "video")
TIMEOUT_S = (3, 10)
UNANSWERED = (kubernetes.client.ApiException, urllib3.exceptions.HTTPError, OSError)
"""What a call raises while the control plane is down."""
POLL_S = 0.5
UNMOUNT = """
import ctypes, os, sys
MNT_DETACH = 2
libc = ctypes.CDLL(None, use_errno=True)
if libc.umount2(sys.argv[1].encode(), MNT_DETACH):
    sys.exit(os.strerror(ctypes.get_errno()))
"""

Drops = dict[str, Counter[str]]
"""What each container dropped, by cause; a counter begins anew with its process."""


@dataclass(frozen=True)
class Place:
    """One pod of the pipeline, as it is now."""

    name: str
    workload: str
    node: str
    ready: bool
    container: str
    restarts: int

    @classmethod
    def of(cls, pod: V1Pod) -> Place:
        """Take from the API's object what is of interest."""
        (status,) = pod.status.container_statuses or [None]
        return cls(
            name=pod.metadata.name,
            workload=pod.metadata.labels[NAME],
            node=pod.spec.node_name or "",
            ready=any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or []),
            container=(status.container_id or "").rpartition("/")[2] if status else "",
            restarts=status.restart_count if status else 0,
        )


class Cluster:
    """``nodes``: the container of each node, by the node's name."""

    def __init__(self, kubeconfig: str, namespace: str, nodes: dict[str, str]) -> None:
        configuration = kubernetes.client.Configuration()
        kubernetes.config.load_kube_config(kubeconfig, client_configuration=configuration)
        configuration.retries = False
        client = kubernetes.client.ApiClient(configuration)
        self.core, self.apps = kubernetes.client.CoreV1Api(client), kubernetes.client.AppsV1Api(client)
        self.namespace = namespace
        self.nodes = nodes

    # --- nodes

    def on(self, node: str, script: str) -> str:
        """Run a script on a node."""
        ended = subprocess.run(
            ["podman", "exec", self.nodes[node], "bash", "-c", script],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if ended.returncode:
            raise RuntimeError(f"on {node}, {script!r} ended with {ended.returncode}: {ended.stderr.strip()}")
        return ended.stdout

    def turn_off(self, node: str) -> None:
        """Turn a node's machine off at once."""
        subprocess.run(["podman", "stop", "--time", "0", self.nodes[node]], check=True, capture_output=True, timeout=60)

    def turn_on(self, node: str) -> None:
        """Turn it on again."""
        subprocess.run(["podman", "start", self.nodes[node]], check=True, capture_output=True, timeout=60)

    def address(self, node: str) -> str:
        """Where a node is reached."""
        (address,) = (a.address for a in self.core.read_node(node).status.addresses if a.type == "InternalIP")
        return str(address)

    def signal(self, place: Place, signal: str) -> None:
        """Send a signal to all processes of a pod's container; raises RuntimeError when there are none."""
        self.on(place.node, f"kill -{signal} $({_processes(place)})")

    def mount(self, place: Place, *arguments: str) -> None:
        """Have ``mount`` change what one container sees, and nobody else."""
        # The node's own program: an image need not have it. A mount is busy while a file in it is being written.
        change = f"mount --namespace $({_processes(place)} | head -n 1) {shlex.join(arguments)}"
        self.on(place.node, f"for _ in $(seq 50); do {change} && exit; sleep 0.1; done; exit 1")

    def unmount(self, place: Place, folder: str) -> None:
        """Take away what was mounted last on a folder that a container with Python sees."""
        # Not umount(8), which finds no mount that was made from another namespace.
        inside = f"nsenter --mount --target $({_processes(place)} | head -n 1)"
        self.on(place.node, f"{inside} {shlex.join(['python3', '-c', UNMOUNT, folder])}")

    # --- pods

    def places(self, workload: str = "") -> list[Place]:
        """The pipeline's pods, or those of a workload, less those that are going."""
        listed = self.core.list_namespaced_pod(self.namespace, label_selector=PART_OF, _request_timeout=TIMEOUT_S).items
        places = [Place.of(pod) for pod in listed if not pod.metadata.deletion_timestamp]
        return sorted((p for p in places if workload in ("", p.workload)), key=lambda p: p.name)

    def lacking(self, also: Mapping[str, int] | None = None) -> str:
        """What of the pipeline is not ready, '' when all of it is; ``also``: how many pods of what makes its own."""
        try:
            places = self.places()
            sets = [
                *self.apps.list_namespaced_deployment(
                    self.namespace, label_selector=PART_OF, _request_timeout=TIMEOUT_S
                ).items,
                *self.apps.list_namespaced_stateful_set(
                    self.namespace, label_selector=PART_OF, _request_timeout=TIMEOUT_S
                ).items,
            ]
        except UNANSWERED:
            return "the API server does not answer"
        wanted = {each.metadata.name: each.spec.replicas for each in sets} | dict(also or {})
        ready = Counter(place.workload for place in places if place.ready)
        return ", ".join(f"{name} {ready[name]}/{number}" for name, number in wanted.items() if ready[name] != number)

    def delete(self, place: Place) -> None:
        """Delete a pod without any grace."""
        self.core.delete_namespaced_pod(place.name, self.namespace, grace_period_seconds=0)

    def scale(self, stateful_set: str, replicas: int) -> None:
        """Have so many pods of a StatefulSet."""
        self.apps.patch_namespaced_stateful_set_scale(stateful_set, self.namespace, {"spec": {"replicas": replicas}})

    def settings(self, name: str) -> dict[str, str]:
        """What a ConfigMap says."""
        said: dict[str, str] = self.core.read_namespaced_config_map(name, self.namespace).data
        return said

    def run(self, place: Place, *command: str, limit_s: float = 300) -> subprocess.CompletedProcess[str]:
        """Run a command in a pod, beside what runs there, until its end."""
        call = stream(
            self.core.connect_get_namespaced_pod_exec,
            place.name,
            self.namespace,
            command=[*command],
            stdin=False,
            stdout=True,
            stderr=True,
            tty=False,
            _preload_content=False,
        )
        call.run_forever(timeout=limit_s)
        if call.is_open():
            call.close()
            raise RuntimeError(f"{command[0]} in {place.name} has not ended after {limit_s:.0f} s")
        try:
            code = call.returncode
        except (KeyError, TypeError, ValueError):  # nobody could tell it
            raise RuntimeError(f"{command[0]} in {place.name} was cut off") from None
        return subprocess.CompletedProcess(command, code, call.read_stdout(), call.read_stderr())

    def forget(self, claim: str) -> None:
        """Delete a volume's claim; its volume goes when its pod has gone."""
        self.core.delete_namespaced_persistent_volume_claim(claim, self.namespace)

    def until_ready(self, limit_s: float) -> None:
        """Wait until all of the pipeline is ready."""
        deadline = time.monotonic() + limit_s
        while lacking := self.lacking():
            if time.monotonic() > deadline:
                raise RuntimeError(f"after {limit_s:.0f} s not ready: {lacking}")
            time.sleep(POLL_S)

    def drops(self) -> Drops:
        """What each container's counters say was dropped; those that do not answer are left out."""
        said: Drops = {}
        for place in self.places():
            if not place.workload.startswith(COUNTS_FRAMES):
                continue
            with suppress(*UNANSWERED):
                said[place.container] = self._dropped(place)
        return said

    def _dropped(self, place: Place) -> Counter[str]:
        dropped: Counter[str] = Counter()
        for family in self.metrics(place):
            for sample in family.samples:
                if sample.name == "cctv_frames_dropped_total":
                    dropped[sample.labels["cause"]] += int(sample.value)
        return dropped

    def metrics(self, place: Place) -> list[Metric]:
        """What a pod measures of itself."""
        pod = self.core.read_namespaced_pod(place.name, self.namespace, _request_timeout=TIMEOUT_S)
        (port,) = (port.container_port for port in pod.spec.containers[0].ports)
        # The client would take the text for Python and say it in its own way.
        text = self.core.connect_get_namespaced_pod_proxy_with_path(
            f"{place.name}:{port}", self.namespace, "metrics", _preload_content=False, _request_timeout=TIMEOUT_S
        ).data.decode()
        return list(text_string_to_metric_families(text))

    # --- pods of our own

    @contextmanager
    def program(self, name: str, source: str, *arguments: str) -> Iterator[Place]:
        """Run Python in a pod with Kafka's client, its settings and its password: that of topics, less its program."""
        deployment = self.apps.read_namespaced_deployment("kafka-topics", self.namespace)
        spec = deployment.spec.template.spec
        (container,) = spec.containers
        container.name = name
        container.command, container.args = ["python3", "-c", source, *arguments], None
        container.startup_probe = container.readiness_probe = container.liveness_probe = None
        spec.restart_policy = "Never"
        # By this name NetworkPolicies let it reach Kafka; it is no part of anything else.
        metadata = {"name": name, "labels": {NAME: "kafka-topics"}}
        pod = {"metadata": metadata, "spec": kubernetes.client.ApiClient().sanitize_for_serialization(spec)}
        self.core.create_namespaced_pod(self.namespace, pod)
        try:
            yield self._started(name)
        finally:
            self.core.delete_namespaced_pod(name, self.namespace, grace_period_seconds=0)

    def _started(self, name: str) -> Place:
        return Place.of(self._until(name, lambda pod: pod.status.phase != "Pending"))

    def _until(self, name: str, reached: Any, limit_s: float = 120) -> V1Pod:
        deadline = time.monotonic() + limit_s
        while not reached(pod := self.core.read_namespaced_pod(name, self.namespace)):
            if time.monotonic() > deadline:
                raise RuntimeError(f"pod {name} is {pod.status.phase} after {limit_s:.0f} s")
            time.sleep(POLL_S)
        return pod

    def log(self, name: str) -> str:
        """What a pod of ours has said until now."""
        said: str = self.core.read_namespaced_pod_log(name, self.namespace)
        return said

    def ended(self, name: str) -> str:
        """What a pod of ours said until its good end."""
        pod = self._until(name, lambda pod: pod.status.phase in ("Succeeded", "Failed"))
        if pod.status.phase != "Succeeded":
            raise RuntimeError(f"pod {name} failed:\n{self.log(name)}")
        return self.log(name)


def _processes(place: Place) -> str:
    """A script that names a container's processes on its node."""
    # They have its id in the name of their control group.
    return f"grep -ls '{place.container}' /proc/[0-9]*/cgroup | cut -d/ -f3"


def inside(name: str) -> str:
    """The source of a program that runs in a pod."""
    return (Path(__file__).parent / "inside" / f"{name}.py").read_text()
