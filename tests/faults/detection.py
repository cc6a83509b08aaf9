"""Detection: every frame that is selected while something is broken shall be found in the end, and no frame twice."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from cluster import Cluster
from faults import Broken, Fault
from report import DetectionRow
from trial import Trial

COUNT = Path(__file__).resolve().parent.parent.parent / "molecule/detection/files/count.py"
"""Runs in the archiver's pod, which reaches Kafka, Elasticsearch and the store, and has all that it needs."""


class DetectionTrial(Trial):
    """Judges by counting what was selected, and what became of it."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        settings = cluster.settings("detection")
        self._executors = {"spark-executor": int(settings.get("DETECTION_EXECUTORS", 0))}
        every = {camera: said["every"] for camera, said in json.loads(settings["DETECTION_CAMERAS"]).items()}
        self._arguments = [
            cluster.settings("elasticsearch-client")["ELASTICSEARCH_URL"],
            str(Path(cluster.settings("archiver")["IMAGE_STORE_DIR"]).parent),
            json.dumps(every),
        ]
        self._since_ms = 0

    def problem(self) -> str:
        return self.cluster.lacking(also=self._executors)

    def begin(self) -> None:
        # By the nodes' clock, which is this machine's, too.
        self._since_ms = int(time.time() * 1000)

    def meanwhile(self, fault: Fault, broken: Broken) -> None:
        time.sleep(fault.lasts_s)

    def figures(self, began: float, broken: Broken) -> dict[str, Any]:
        (archiver,) = self.cluster.places("archiver")
        ended = self.cluster.run(archiver, "python3", "-c", COUNT.read_text(), *self._arguments, str(self._since_ms))
        try:
            counts: dict[str, Any] = json.loads(ended.stdout)
        except ValueError:
            raise RuntimeError(f"nothing could be counted: {ended.stderr.strip()[-500:]}") from None
        return counts | {"arrived_s": round(time.monotonic() - began, 1)}

    def row(self, fault: Fault, **figures: Any) -> DetectionRow:
        return DetectionRow(name=fault.name, what=fault.what, **figures)
