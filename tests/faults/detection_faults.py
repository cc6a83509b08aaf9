"""The faults of the detection chain, and how each is put right again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager

from cluster import Cluster, Place
from faults import NOTHING_MORE, READY_S, Broken, Fault, deleted, killed, nothing
from read_back import ReadBack

ELASTICSEARCH_AWAY_S = 120
STORE_AWAY_S = 60
SERVER_AWAY_S = 30
SERVER = "cctv-image-store.service"


@contextmanager
def executor_deleted(cluster: Cluster) -> Iterator[Broken]:
    """Delete an executor's pod without grace; Spark asks for another."""
    # One that has ended is kept for a while.
    first, *__ = (place for place in cluster.places("spark-executor") if place.ready)
    cluster.delete(first)
    yield NOTHING_MORE


@contextmanager
def elasticsearch_away(cluster: Cluster) -> Iterator[Broken]:
    """Have it die as its node does, and not come back for a while."""
    (place,) = cluster.places("elasticsearch")
    cluster.signal(place, "KILL")
    try:
        cluster.scale("elasticsearch", 0)
        yield NOTHING_MORE
    finally:
        cluster.scale("elasticsearch", 1)


@contextmanager
def read_only(cluster: Cluster, archiver: Place, folder: str) -> Iterator[None]:
    """Have the archiver's store read-only."""
    cluster.mount(archiver, "-o", "remount,bind,ro", folder)
    try:
        yield
    finally:
        cluster.mount(archiver, "-o", "remount,bind,rw", folder)


@contextmanager
def unmounted(cluster: Cluster, archiver: Place, folder: str) -> Iterator[None]:
    """Have an empty folder, which can be written to, where the archiver's store was."""
    cluster.mount(archiver, "-t", "tmpfs", "none", folder)
    try:
        yield
    finally:
        cluster.unmount(archiver, folder)


def store(
    way: Callable[[Cluster, Place, str], AbstractContextManager[None]], reason: str
) -> Callable[[Cluster], AbstractContextManager[Broken]]:
    """Break the archiver's store; ``reason``: the one for which the archiver has to say that it waits."""

    @contextmanager
    def broken(cluster: Cluster) -> Iterator[Broken]:
        (archiver,) = cluster.places("archiver")

        def waits() -> str:
            said = {
                sample.labels["reason"]
                for family in cluster.metrics(archiver)
                for sample in family.samples
                if sample.name == "cctv_archiver_store_unusable" and sample.value
            }
            if reason not in said:
                raise RuntimeError(f"the archiver waits for no store that is {reason}, but {said or 'for none'}")
            return f"the archiver waited: {reason}"

        with way(cluster, archiver, cluster.settings("archiver")["IMAGE_STORE_DIR"]):
            yield Broken(told=waits)

    return broken


@contextmanager
def server_away(cluster: Cluster) -> Iterator[Broken]:
    """End the NFS server, as a power cut does, while every picture that is in the store is read from it."""
    (archiver,) = cluster.places("archiver")
    # The store is a folder of the node that the archiver runs on, and served from there.
    node = archiver.node
    reading = ReadBack(cluster, archiver, cluster.address(node))
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(reading.run)
        try:
            reading.until_begun(READY_S)
            cluster.on(node, f"systemctl kill --signal=KILL {SERVER}; systemctl stop {SERVER}")
            time.sleep(SERVER_AWAY_S)
        finally:
            cluster.on(node, f"systemctl start {SERVER}")
            reading.finish()
        yield Broken(told=told.result)


def of_detection() -> list[Fault]:
    """The faults of the chain; no container is killed twice."""
    return [
        Fault("nothing", "nothing, for comparison", nothing, lasts_s=20),
        Fault(
            "server-away",
            f"the NFS server away for {SERVER_AWAY_S} s while pictures are read back",
            server_away,
        ),
        Fault("deleted-spark-executor", "pod deleted without grace: spark-executor", executor_deleted),
        Fault("deleted-spark-driver", "pod deleted without grace: spark-driver", deleted("spark-driver")),
        Fault("deleted-archiver", "pod deleted without grace: archiver", deleted("archiver")),
        Fault(
            "store-read-only",
            f"the archiver's store read-only for {STORE_AWAY_S} s",
            store(read_only, "read_only"),
            lasts_s=STORE_AWAY_S,
        ),
        Fault(
            "store-unmounted",
            f"the archiver's store unmounted for {STORE_AWAY_S} s",
            store(unmounted, "absent"),
            lasts_s=STORE_AWAY_S,
        ),
        Fault("killed-archiver", "SIGKILL to archiver", killed("archiver")),
        Fault("killed-filebeat", "SIGKILL to filebeat", killed("filebeat")),
        Fault(
            "elasticsearch-away",
            f"Elasticsearch away for {ELASTICSEARCH_AWAY_S} s",
            elasticsearch_away,
            lasts_s=ELASTICSEARCH_AWAY_S,
        ),
        Fault("deleted-kafka", "pod of the only broker deleted without grace", deleted("kafka")),
        Fault("killed-spark-driver", "SIGKILL to spark-driver", killed("spark-driver")),
        Fault("killed-kafka", "SIGKILL to the only broker", killed("kafka")),
    ]
