"""The live view: a browser watches every camera through each node, and pictures shall not stand still for long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from cluster import Cluster, Drops
from faults import Broken, Fault
from observer import Observer
from report import LiveRow
from trial import Trial, until_steady

NOTICED_S = 10
"""A page shows the last picture for so long at most before it says that a camera is silent."""


def unmoved(observer: Observer, cameras: Iterable[str], blind: Iterable[str] = ()) -> str:
    """The tiles that show no live, moving, predicted picture, '' when all do."""
    return ", ".join(
        f"{camera} on {node}: {tiles.get(camera, 'no tile')}"
        for node, tiles in observer.look().items()
        if node not in blind
        for camera in cameras
        if camera not in tiles or not tiles[camera].moves
    )


def lost(before: Drops, after: Drops) -> Counter[str]:
    """What was dropped meanwhile, by cause."""
    total: Counter[str] = Counter()
    for container, dropped in after.items():
        total += dropped - before.get(container, Counter())
    return total


class LiveTrial(Trial):
    """Judges by the pictures; how long they stood still is noted, and fails nothing."""

    def __init__(self, cluster: Cluster, observer: Observer) -> None:
        super().__init__(cluster)
        self._observer = observer
        self._drops: Drops = {}
        self._cameras = [
            p.workload.removeprefix("producer-") for p in cluster.places() if p.workload.startswith("producer-")
        ]

    def problem(self) -> str:
        return unmoved(self._observer, self._cameras) or self.cluster.lacking()

    def begin(self) -> None:
        self._drops = self.cluster.drops()
        self._observer.begin()

    def meanwhile(self, fault: Fault, broken: Broken) -> None:
        until_steady(lambda: unmoved(self._observer, self._cameras, broken.blind), max(NOTICED_S, fault.lasts_s))

    def figures(self, began: float, broken: Broken) -> dict[str, Any]:
        views = self._views(broken.blind)
        return {
            "still_s": {c: round(max(tiles[c] for tiles in views.values()), 1) for c in self._cameras},
            "dropped": dict(lost(self._drops, self.cluster.drops())),
        }

    def row(self, fault: Fault, **figures: Any) -> LiveRow:
        return LiveRow(name=fault.name, what=fault.what, goal_s=fault.goal_s, **figures)

    def _views(self, blind: Iterable[str]) -> dict[str, dict[str, float]]:
        return {
            node: {camera: tile.longest for camera, tile in tiles.items()}
            for node, tiles in self._observer.look().items()
            if node not in blind
        }
