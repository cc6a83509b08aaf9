"""docs/faults.md: tables of what was broken, and what came of it."""

from __future__ import annotations

import json
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import results  # noqa: E402

FILE = ROOT / "docs/faults.md"
INTERRUPTION_S = 2.0
"""A picture that stands still for longer than this was interrupted; the slowest camera sends one a second."""
HEAD = """# Faults

`make faults` (root, podman) makes bare containers a cluster with the pipeline, breaks it in each of these ways, and
writes this page. A few of the faults are part of `make test-cluster`.

Faults run on a control plane and two workers. Three brokers and three ZooKeepers need three nodes: there the control
plane takes pods, too (`control_plane_schedulable`), since three machines are the smallest site that can have three of
each. What else differs from the defaults is in `molecule/faults/inventory`: a dead node is noticed after 30 s, and the
model servers ask for less of a processor, as one worker has to take what two ran.
"""


def measured() -> str:
    """Now, with this commit, here."""
    # Molecule runs in a copy of the checkout, which does not know its commit.
    commit = os.environ.get("FAULTS_COMMIT") or results.commit()
    return f"{time.strftime('%Y-%m-%d')}, commit {commit}, {results.machine()}"


@dataclass(frozen=True, kw_only=True)
class Row(ABC):
    """What one fault did; ``problem`` when it was not whole again."""

    CHAIN: ClassVar[str]
    """What it belongs to, by the name that its line of JSON and the command line have for it."""
    ABOUT: ClassVar[str]
    TITLES: ClassVar[Sequence[str]]

    name: str
    what: str
    back: str = ""
    whole_s: float | None = None
    problem: str = ""
    measured: str = field(default_factory=measured)
    """When, with which commit and where."""

    @property
    @abstractmethod
    def met(self) -> bool:
        """Whether the goal was reached."""

    @property
    @abstractmethod
    def failed(self) -> bool:
        """Whether that is an error, and not only noted."""

    @abstractmethod
    def cells(self) -> list[str]:
        """The row of the table."""

    def line(self) -> str:
        """The row for a person who waits for it."""
        return f"{self.name}: {' | '.join(self.cells()[1:])}"

    def json(self) -> str:
        """The row for `read`."""
        return json.dumps({"chain": self.CHAIN} | asdict(self))


@dataclass(frozen=True, kw_only=True)
class LiveRow(Row):
    """What viewers had of it."""

    CHAIN = "live"
    ABOUT = """## The live view

A browser outside of the cluster watches every camera through the NodePort of each node; detection is off.

*Stood still* is the longest time, from just before the fault until all was whole again, for which a camera's tile
showed the same picture, on the page of the worst node; a node that was itself cut off or turned off does not count.
The browser looks five times a second. *No interruption* means 2 s at most. *Dropped* is by how much the counters of
dropped frames grew meanwhile; what a process counted that was ended went with it. *Whole* is when every pod was ready
and every camera moved, on all nodes.
"""
    TITLES = ("broken", "goal", "stood still, s", "met", "dropped", "how it came back", "whole after, s")

    goal_s: float | None
    still_s: dict[str, float] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        limit = INTERRUPTION_S if self.goal_s is None else self.goal_s
        return not self.problem and max(self.still_s.values()) <= limit

    @property
    def failed(self) -> bool:
        return self.problem != ""

    def cells(self) -> list[str]:
        return [
            self.what,
            "no interruption" if self.goal_s is None else f"{self.goal_s:.0f} s",
            ", ".join(f"{camera} {seconds:.1f}" for camera, seconds in self.still_s.items()),
            "yes" if self.met else "**no**",
            ", ".join(f"{cause} {count}" for cause, count in sorted(self.dropped.items())) or "0",
            self.problem or self.back,
            _seconds(self.whole_s),
        ]


@dataclass(frozen=True, kw_only=True)
class DetectionRow(Row):
    """What became of the frames that were selected from just before the fault until all was whole again."""

    CHAIN = "detection"
    ABOUT = """## Detection

One broker, as is the default, and one executor; a frame of each camera every two seconds. The image store is a folder
of the node that the archiver runs on, which is served from there over NFS, as this kernel mounts none. After each
fault, once all is whole again, every frame is counted that `detection_frame_rate` selects and that came into `videocam`
since just before the fault, and what has become of it. The goal is that each is found: in the topic `detections`, as a
document in Elasticsearch, and as a picture in the store; and that no document and no picture is there twice. What comes
more than once into `detections`, because a batch of frames was looked at again, is a record more, with the same id.
Frames that a producer could not send, as the broker was away, were never in `videocam`.

*Missing* is what was not there 180 s after all was whole. *Whole* is when every pod was ready, *all there* when the
last of these frames was found everywhere; both count from just before the fault.
"""
    TITLES = (
        *("broken", "frames selected", "in detections", "documents", "pictures", "missing", "twice", "met"),
        *("how it came back", "whole after, s", "all there after, s"),
    )

    selected: int = 0
    records: int = 0
    detections: int = 0
    documents: int = 0
    pictures: int = 0
    missing: dict[str, int] = field(default_factory=dict)
    twice: int = 0
    arrived_s: float | None = None

    @property
    def met(self) -> bool:
        return not self.problem and self.selected > 0 and not any(self.missing.values()) and not self.twice

    @property
    def failed(self) -> bool:
        return not self.met

    def cells(self) -> list[str]:
        return [
            self.what,
            str(self.selected),
            f"{self.detections} in {self.records} records",
            str(self.documents),
            str(self.pictures),
            ", ".join(f"{where} {count}" for where, count in self.missing.items() if count) or "0",
            str(self.twice),
            "yes" if self.met else "**no**",
            self.problem or self.back,
            _seconds(self.whole_s),
            _seconds(self.arrived_s) if self.met else "-",
        ]


KINDS: dict[str, type[Row]] = {kind.CHAIN: kind for kind in (LiveRow, DetectionRow)}


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.0f}"


def read(line: str) -> Row:
    """A row that was kept."""
    said = json.loads(line)
    return KINDS[said.pop("chain")](**said)


def section(kind: type[Row], rows: Sequence[Row]) -> str:
    """A chain's part of the page."""
    # What programs say may have several lines.
    cells = [[" ".join(cell.split()).replace("|", r"\|") for cell in row.cells()] for row in rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in [kind.TITLES, ["---"] * len(kind.TITLES), *cells])
    met = sum(row.met for row in rows)
    when = "; ".join(dict.fromkeys(row.measured for row in rows))
    return f"{kind.ABOUT}\n{met} of {len(rows)} goals are met.\n\n{table}\n\n*{when}*\n"


def page(rows: Sequence[Row]) -> str:
    """The page, of the chains that were tried."""
    of_kind = [(kind, [row for row in rows if isinstance(row, kind)]) for kind in KINDS.values()]
    return "\n".join([HEAD, *(section(kind, some) for kind, some in of_kind if some)])


def write(lines: Path) -> list[Row]:
    """Write the page from lines of JSON, one a fault."""
    rows = [read(line) for line in lines.read_text().splitlines()]
    FILE.write_text(page(rows))
    return rows


if __name__ == "__main__":
    write(Path(sys.argv[1]))
