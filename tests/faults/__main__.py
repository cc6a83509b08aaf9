"""Breaks a cluster, fault by fault, and watches its live page meanwhile.

    python tests/faults --kubeconfig FILE --node cp1=10.0.0.10=CONTAINER ... [--results FILE] [FAULT ...]

Nodes are podman's containers on this machine. A fault after which a camera stays dead, or the pipeline does not become
whole, ends it with an error, after all others were tried. How long pictures stood still is noted, and not judged here.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import faults
from cluster import Cluster, Drops, Place
from observer import Observer
from report import Row

STEADY_S = 5
"""So long must pictures move, and everything be ready, before it counts as whole."""
NOTICED_S = 10
"""A page shows the last picture for so long at most before it says that a camera is silent."""
LIMIT_S = 300


def unmoved(observer: Observer, cameras: Iterable[str], blind: Iterable[str] = ()) -> str:
    """The tiles that show no live, moving, predicted picture, '' when all do."""
    return ", ".join(
        f"{camera} on {node}: {tiles.get(camera, 'no tile')}"
        for node, tiles in observer.look().items()
        if node not in blind
        for camera in cameras
        if camera not in tiles or not tiles[camera].moves
    )


def until_steady(problem: Callable[[], str], least_s: float, limit_s: float = LIMIT_S) -> float:
    """Wait until there was no problem for STEADY_S; returns after how many seconds that began."""
    began = time.monotonic()
    since: float | None = None
    while True:
        said = problem()
        now = time.monotonic()
        since = None if said else since or now
        if since and now - since >= STEADY_S and now - began >= least_s:
            return since - began
        if now - began > max(limit_s, least_s):
            raise RuntimeError(f"after {now - began:.0f} s: {said}")
        time.sleep(0.5)


def lost(before: Drops, after: Drops) -> Counter[str]:
    """What was dropped meanwhile, by cause."""
    total: Counter[str] = Counter()
    for container, dropped in after.items():
        total += dropped - before.get(container, Counter())
    return total


def changes(before: list[Place], after: list[Place]) -> str:
    """How the pods are others than they were."""
    old = {place.name: place for place in before}
    again = [f"{p.name} started again" for p in after if p.name in old and p.restarts > old[p.name].restarts]
    moved = [
        f"{p.name} {'anew' if p.name in old else 'made'} on {p.node}"
        for p in after
        # A StatefulSet's pod that is made anew has the name of the one before it.
        if p.name not in old or (p.container != old[p.name].container and p.restarts <= old[p.name].restarts)
    ]
    return "; ".join([*again, *moved]) or "nothing had to be started"


class Trial:
    """Breaks one cluster, and watches it."""

    def __init__(self, cluster: Cluster, observer: Observer) -> None:
        self._cluster, self._observer = cluster, observer
        self._whole = False
        self._cameras = [
            p.workload.removeprefix("producer-") for p in cluster.places() if p.workload.startswith("producer-")
        ]

    def problem(self) -> str:
        """What is not as it should be, '' when all is."""
        return unmoved(self._observer, self._cameras) or self._cluster.lacking()

    def run(self, fault: faults.Fault) -> Row:
        """Break, watch, put right, and wait until all is whole; raises RuntimeError when it does not become so."""
        if fault.prepare:
            fault.prepare(self._cluster)
            self._whole = False
        if not self._whole:
            until_steady(self.problem, 0)
        self._whole = False
        before, drops = self._cluster.places(), self._cluster.drops()
        self._observer.begin()
        began = time.monotonic()
        with fault.broken(self._cluster) as broken:
            until_steady(lambda: unmoved(self._observer, self._cameras, broken.blind), max(NOTICED_S, fault.lasts_s))
            told = broken.told()
        until_steady(self.problem, 0)
        whole_s = time.monotonic() - began - STEADY_S
        self._whole = True
        views = self._views(broken.blind)
        return Row(
            name=fault.name,
            what=fault.what,
            goal_s=fault.goal_s,
            still_s={c: round(max(tiles[c] for tiles in views.values()), 1) for c in self._cameras},
            dropped=dict(lost(drops, self._cluster.drops())),
            back="; ".join(filter(None, [changes(before, self._cluster.places()), told])),
            whole_s=round(whole_s, 1),
        )

    def _views(self, blind: Iterable[str]) -> dict[str, dict[str, float]]:
        return {
            node: {camera: tile.longest for camera, tile in tiles.items()}
            for node, tiles in self._observer.look().items()
            if node not in blind
        }


def main() -> None:
    """Break it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--namespace", default="cctv")
    parser.add_argument("--node", action="append", required=True, help="name=address=container")
    parser.add_argument("--port", type=int, default=30163, help="the live page's, on each node")
    parser.add_argument("--down", type=float, default=60, help="seconds for which nodes are off or cut off")
    parser.add_argument("--results", type=Path, help="file to which each fault's line of JSON is added")
    parser.add_argument("faults", nargs="*", help="those to try; by default all that there are for so many brokers")
    args = parser.parse_args()
    nodes = [node.split("=") for node in args.node]
    cluster = Cluster(args.kubeconfig, args.namespace, {name: container for name, __, container in nodes})
    cluster.until_ready(LIMIT_S)
    known = (faults.of_one_broker if len(cluster.places("kafka")) == 1 else faults.of_three_brokers)(cluster, args.down)
    chosen = [fault for fault in known if not args.faults or fault.name in args.faults]
    if unknown := set(args.faults) - {fault.name for fault in known}:
        sys.exit(f"There is no {', '.join(sorted(unknown))}; there are {', '.join(fault.name for fault in known)}")
    # What is broken is put right again, however this ends.
    signal.signal(signal.SIGTERM, lambda *__: sys.exit("ended"))
    failed = []
    with Observer({name: f"http://{address}:{args.port}" for name, address, __ in nodes}) as observer:
        trial = Trial(cluster, observer)
        for fault in chosen:
            try:
                row = trial.run(fault)
            except RuntimeError as error:
                failed.append(fault.name)
                row = Row(name=fault.name, what=fault.what, goal_s=fault.goal_s, problem=str(error))
            print(row.line(), flush=True)
            if args.results:
                with args.results.open("a") as results:
                    print(json.dumps(asdict(row)), file=results)
    if failed:
        sys.exit(f"Not whole again after {', '.join(failed)}")


if __name__ == "__main__":
    main()
