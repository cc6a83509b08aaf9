"""The faults: what is broken, how it is put right again, and how soon the pictures shall be back."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass

from cluster import Cluster, inside

STATEFUL = ("kafka", "zookeeper")
HANGS_S = 20
"""By then a kubelet has seen that it hangs, and has started it anew."""
READY_S = 300


@dataclass(frozen=True)
class Broken:
    """What is known once something is broken."""

    blind: tuple[str, ...] = ()
    """Nodes through which nobody sees anything meanwhile."""
    told: Callable[[], str] = str
    """More to say of it, once the pictures are back."""


NOTHING_MORE = Broken()


@dataclass(frozen=True)
class Fault:
    """``broken``: a context, at the end of which nothing is broken any more."""

    name: str
    what: str
    broken: Callable[[Cluster], AbstractContextManager[Broken]]
    goal_s: float | None = None
    """Within which pictures that are watched shall be back; None: they shall not stop."""
    lasts_s: float = 0
    prepare: Callable[[Cluster], None] | None = None


@contextmanager
def nothing(cluster: Cluster) -> Iterator[Broken]:
    """Break nothing: what the other figures are to be compared with."""
    yield NOTHING_MORE


# --- pods


def killed(workload: str, number: int = 0) -> Callable[[Cluster], AbstractContextManager[Broken]]:
    """End a pod's processes at once, on its node; its container is started again."""

    @contextmanager
    def broken(cluster: Cluster) -> Iterator[Broken]:
        cluster.signal(cluster.places(workload)[number], "KILL")
        yield NOTHING_MORE

    return broken


def deleted(workload: str, number: int = 0) -> Callable[[Cluster], AbstractContextManager[Broken]]:
    """Delete a pod without grace; another takes its place."""

    @contextmanager
    def broken(cluster: Cluster) -> Iterator[Broken]:
        cluster.delete(cluster.places(workload)[number])
        yield NOTHING_MORE

    return broken


@contextmanager
def hung(cluster: Cluster) -> Iterator[Broken]:
    """Stop a model server's processes: it holds its connections, takes new ones, and answers nothing."""
    place = cluster.places("tf-serving")[0]
    cluster.signal(place, "STOP")
    try:
        yield NOTHING_MORE
    finally:
        with suppress(RuntimeError):  # when its liveness probe had it ended
            cluster.signal(place, "CONT")


@contextmanager
def poisoned(cluster: Cluster) -> Iterator[Broken]:
    """Put records into videocam that no producer sends."""
    cameras = sum(place.workload.startswith("producer-") for place in cluster.places())
    with cluster.program("poison", inside("poison"), str(cameras)):
        sent = cluster.ended("poison").splitlines()[-1]
        yield Broken(told=lambda: sent)


# --- nodes


def stateless_worker(cluster: Cluster) -> str:
    """A worker on which nothing runs that is bound to a volume."""
    holding = {place.node for name in STATEFUL for place in cluster.places(name)}
    workers = {node for node in cluster.nodes if node not in control_planes(cluster)}
    return min(workers - holding)


def control_planes(cluster: Cluster) -> list[str]:
    """The nodes that are control planes."""
    listed = cluster.core.list_node(label_selector="node-role.kubernetes.io/control-plane").items
    return [node.metadata.name for node in listed]


def gather_stateful(cluster: Cluster) -> None:
    """See that one worker holds all volumes: Kafka's, whose records are perishable, is made anew beside ZooKeeper's."""
    (zookeeper,), (kafka,) = cluster.places("zookeeper"), cluster.places("kafka")
    if kafka.node != zookeeper.node:
        with cordoned(cluster, kafka.node):
            cluster.forget(f"data-{kafka.name}")
            cluster.delete(kafka)
            cluster.until_ready(READY_S)
    spread(cluster)


def spread(cluster: Cluster) -> None:
    """Put some of the rest onto the other worker, where there would otherwise be nothing to lose."""
    worker = stateless_worker(cluster)
    crowded = next(iter({place.node for place in cluster.places("zookeeper")}))
    there = {place.workload for place in cluster.places() if place.node == worker}
    with cordoned(cluster, crowded):
        for workload in ("consumer", "video", "producer-bikes"):
            for place in cluster.places(workload):
                if workload not in there:
                    cluster.delete(place)
                    cluster.until_ready(READY_S)
                    break


@contextmanager
def cordoned(cluster: Cluster, node: str) -> Iterator[None]:
    """Let no new pods onto a node."""
    cluster.core.patch_node(node, {"spec": {"unschedulable": True}})
    try:
        yield
    finally:
        cluster.core.patch_node(node, {"spec": {"unschedulable": None}})


@contextmanager
def drained(cluster: Cluster) -> Iterator[Broken]:
    """Drain a worker as an administrator does, and let pods onto it again when the pictures are back."""
    node, admin = stateless_worker(cluster), control_planes(cluster)[0]
    kubectl = "kubectl --kubeconfig /etc/kubernetes/admin.conf"
    try:
        cluster.on(admin, f"{kubectl} drain {node} --ignore-daemonsets --delete-emptydir-data --timeout 100s")
        yield NOTHING_MORE
    finally:
        cluster.on(admin, f"{kubectl} uncordon {node}")


@contextmanager
def cut_off(cluster: Cluster) -> Iterator[Broken]:
    """Drop all that a worker sends and gets, its kubelet's and its pods' alike."""
    node = stateless_worker(cluster)
    rules = ("INPUT -i eth0", "FORWARD -i eth0", "FORWARD -o eth0", "OUTPUT -o eth0")
    try:
        cluster.on(node, " && ".join(f"iptables -w -I {rule} -j DROP" for rule in rules))
        yield Broken(blind=(node,))
    finally:
        cluster.on(node, "; ".join(f"iptables -w -D {rule} -j DROP" for rule in rules))


@contextmanager
def without_control_plane(cluster: Cluster) -> Iterator[Broken]:
    """Turn the control plane's machine off."""
    node = control_planes(cluster)[0]
    try:
        cluster.turn_off(node)
        yield Broken(blind=(node,))
    finally:
        cluster.turn_on(node)


# --- three of each


@contextmanager
def one_of_each_lost(cluster: Cluster) -> Iterator[Broken]:
    """Lose a broker and a ZooKeeper with their volumes, while numbered records are written that all have to be kept."""
    topic = f"numbers-{int(time.time())}"
    with cluster.program("numbers", inside("write"), topic) as writer:
        deadline = time.monotonic() + READY_S
        while "writing" not in cluster.log(writer.name) and time.monotonic() < deadline:
            time.sleep(0.5)
        time.sleep(5)  # so that there is something to lose
        for name in STATEFUL:
            lost = cluster.places(name)[-1]
            cluster.forget(f"data-{lost.name}")
            cluster.delete(lost)

        def kept() -> str:
            cluster.until_ready(READY_S)
            cluster.signal(writer, "USR1")
            said = json.loads(next(line for line in cluster.ended(writer.name).splitlines() if line.startswith("{")))
            if said["lost"] or not said["acknowledged"]:
                raise RuntimeError(f"acknowledged records are lost: {said}")
            return (
                f"all {said['acknowledged']} acknowledged records of {said['written']} kept, "
                f"after at most {said['longest_wait_s']} s without an acknowledgement"
            )

        yield Broken(told=kept)


def each_pod(cluster: Cluster, way: str) -> list[Fault]:
    """A fault for each pod that shall be back soon: ``way`` is killed or deleted."""
    what, how = {
        "killed": ("SIGKILL to", killed),
        "deleted": ("pod deleted without grace:", deleted),
    }[way]
    counts = Counter(place.workload for place in cluster.places() if place.workload not in STATEFUL)
    return [
        Fault(
            f"{way}-{workload}{f'-{n + 1}' if count > 1 else ''}",
            f"{what} {workload}{f' ({n + 1} of {count})' if count > 1 else ''}",
            how(workload, n),
            goal_s=10,
        )
        for workload, count in counts.items()
        for n in range(count)
    ]


def of_one_broker(cluster: Cluster, down_s: float) -> list[Fault]:
    """The faults of a cluster with one ZooKeeper and one broker; if time is short, the last ones are missed least.

    No container is killed twice: the second time in a few minutes a kubelet waits before it starts it again.
    """
    down = f"for {down_s:.0f} s"
    return [
        Fault("nothing", "nothing, for comparison", nothing, lasts_s=20),
        Fault("poison", "poison records in videocam", poisoned),
        Fault("hung-tf-serving", "a tf-serving replica hangs (SIGSTOP)", hung, goal_s=10, lasts_s=HANGS_S),
        *each_pod(cluster, "deleted"),
        Fault("killed-zookeeper", "SIGKILL to the only ZooKeeper", killed("zookeeper"), goal_s=30),
        Fault("killed-kafka", "SIGKILL to the only broker", killed("kafka"), goal_s=30),
        Fault("control-plane", f"the control plane off {down}", without_control_plane, lasts_s=down_s),
        Fault("drained", "a worker with only stateless parts drained", drained, goal_s=60, prepare=gather_stateful),
        Fault(
            "cut-off",
            f"a worker with only stateless parts cut off {down}",
            cut_off,
            goal_s=60,
            lasts_s=down_s,
            prepare=gather_stateful,
        ),
        *each_pod(cluster, "killed"),
        Fault("deleted-zookeeper", "pod of the only ZooKeeper deleted without grace", deleted("zookeeper"), goal_s=30),
        Fault("deleted-kafka", "pod of the only broker deleted without grace", deleted("kafka"), goal_s=30),
    ]


def of_three_brokers(cluster: Cluster, down_s: float) -> list[Fault]:
    """The faults of a cluster with three of each, on three nodes."""
    return [
        Fault(
            "lost-volumes",
            "three brokers, three ZooKeepers: one of each loses pod and volume for good",
            one_of_each_lost,
            goal_s=60,
        )
    ]
