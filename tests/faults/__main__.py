"""Breaks a cluster, fault by fault, and looks what comes of it: at its live page, or at what detection finds.

    python tests/faults --kubeconfig FILE --node cp1=10.0.0.10=CONTAINER ... [--chain detection] [FAULT ...]

Nodes are podman's containers on this machine. It ends with an error, after all were tried, when there was a fault after
which the pipeline did not become whole, a camera stayed dead, or a selected frame was not found. How long pictures
stood still is noted, and not judged here.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import detection_faults
import faults
from cluster import Cluster
from detection import DetectionTrial
from live import LiveTrial
from observer import Observer
from report import KINDS, DetectionRow
from trial import LIMIT_S, Trial


@contextmanager
def trial_of(chain: str, cluster: Cluster, pages: Mapping[str, str]) -> Iterator[Trial]:
    """Who judges; ``pages``: the live page of each node."""
    if chain == DetectionRow.CHAIN:
        yield DetectionTrial(cluster)
        return
    with Observer(pages) as observer:
        yield LiveTrial(cluster, observer)


def faults_of(chain: str, cluster: Cluster, down_s: float) -> list[faults.Fault]:
    """All that there are."""
    if chain == DetectionRow.CHAIN:
        return detection_faults.of_detection()
    one = len(cluster.places("kafka")) == 1
    return (faults.of_one_broker if one else faults.of_three_brokers)(cluster, down_s)


def main() -> None:
    """Break it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--namespace", default="cctv")
    parser.add_argument("--node", action="append", required=True, help="name=address=container")
    parser.add_argument("--chain", choices=sorted(KINDS), default="live", help="what is looked at")
    parser.add_argument("--port", type=int, default=30163, help="the live page's, on each node")
    parser.add_argument("--down", type=float, default=60, help="seconds for which nodes are off or cut off")
    parser.add_argument("--results", type=Path, help="file to which each fault's line of JSON is added")
    parser.add_argument("faults", nargs="*", help="those to try; by default all that there are")
    args = parser.parse_args()
    nodes = [node.split("=") for node in args.node]
    cluster = Cluster(args.kubeconfig, args.namespace, {name: container for name, __, container in nodes})
    cluster.until_ready(LIMIT_S)
    known = faults_of(args.chain, cluster, args.down)
    chosen = [fault for fault in known if not args.faults or fault.name in args.faults]
    if unknown := set(args.faults) - {fault.name for fault in known}:
        sys.exit(f"There is no {', '.join(sorted(unknown))}; there are {', '.join(fault.name for fault in known)}")
    # What is broken is put right again, however this ends.
    signal.signal(signal.SIGTERM, lambda *__: sys.exit("ended"))
    failed = []
    with trial_of(args.chain, cluster, {name: f"http://{address}:{args.port}" for name, address, __ in nodes}) as trial:
        for fault in chosen:
            row = trial.run(fault)
            if row.failed:
                failed.append(fault.name)
            print(row.line(), flush=True)
            if args.results:
                with args.results.open("a") as results:
                    print(row.json(), file=results)
    if failed:
        sys.exit(f"Not as it should be after {', '.join(failed)}")


if __name__ == "__main__":
    main()
