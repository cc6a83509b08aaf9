"""What all trials have in common: break the cluster, wait until it is whole again, and tell what that took."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from cluster import UNANSWERED, Cluster, Place
from faults import Broken, Fault
from report import Row

STEADY_S = 5
"""So long must everything be as it should before it counts as whole."""
LIMIT_S = 300


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


class Trial(ABC):
    """Breaks one cluster, and judges what came of it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._whole = False

    @abstractmethod
    def problem(self) -> str:
        """What is not as it should be, '' when all is."""

    @abstractmethod
    def begin(self) -> None:
        """Begin to watch: something is about to be broken."""

    @abstractmethod
    def meanwhile(self, fault: Fault, broken: Broken) -> None:
        """Wait while it is broken, until it may be put right."""

    @abstractmethod
    def figures(self, began: float, broken: Broken) -> dict[str, Any]:
        """What came of it, now that all is whole; ``began``: when it was about to be broken, by the monotonic clock."""

    @abstractmethod
    def row(self, fault: Fault, **figures: Any) -> Row:
        """The row of a table."""

    def run(self, fault: Fault) -> Row:
        """Break, watch, put right, and wait until all is whole; when it does not become so, the row says why."""
        try:
            return self.row(fault, **self._run(fault))
        except (RuntimeError, *UNANSWERED) as error:
            return self.row(fault, problem=str(error))

    def _run(self, fault: Fault) -> dict[str, Any]:
        if fault.prepare:
            fault.prepare(self.cluster)
            self._whole = False
        if not self._whole:
            until_steady(self.problem, 0)
        self._whole = False
        before = self.cluster.places()
        self.begin()
        began = time.monotonic()
        with fault.broken(self.cluster) as broken:
            self.meanwhile(fault, broken)
            told = broken.told()
        until_steady(self.problem, 0)
        whole_s = time.monotonic() - began - STEADY_S
        self._whole = True
        figures = self.figures(began, broken)
        back = "; ".join(filter(None, [changes(before, self.cluster.places()), told]))
        return figures | {"back": back, "whole_s": round(whole_s, 1)}
