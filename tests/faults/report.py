"""docs/faults.md: a table of what was broken, and what viewers had of it."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import results  # noqa: E402

FILE = ROOT / "docs/faults.md"
INTERRUPTION_S = 2.0
"""A picture that stands still for longer than this was interrupted; the slowest camera sends one a second."""
HEAD = """# Faults

`make faults` (root, podman) makes bare containers a cluster with the pipeline, breaks it in each of these ways, and
writes this page. A browser outside of the cluster watches every camera through the NodePort of each node. A few of the
faults are part of `make test-cluster`.

*Stood still* is the longest time, from just before the fault until all was whole again, for which a camera's tile
showed the same picture, on the page of the worst node; a node that was itself cut off or turned off does not count.
The browser looks five times a second. *No interruption* means 2 s at most. *Dropped* is by how much the counters of
dropped frames grew meanwhile; what a process counted that was ended went with it. *Whole* is when every pod was ready
and every camera moved, on all nodes.

Faults run on a control plane and two workers. Three brokers and three ZooKeepers need three nodes: there the control
plane takes pods, too (`control_plane_schedulable`), since three machines are the smallest site that can have three of
each. What else differs from the defaults is in `molecule/faults/inventory`: a dead node is noticed after 30 s, and the
model servers ask for less of a processor, as one worker has to take what two ran.
"""


@dataclass(frozen=True)
class Row:
    """What one fault did; ``problem`` when it was not whole again."""

    name: str
    what: str
    goal_s: float | None
    still_s: dict[str, float] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    back: str = ""
    whole_s: float | None = None
    problem: str = ""

    @property
    def met(self) -> bool:
        """Whether the goal was reached."""
        limit = INTERRUPTION_S if self.goal_s is None else self.goal_s
        return not self.problem and max(self.still_s.values()) <= limit

    def cells(self) -> list[str]:
        """The row of the table."""
        return [
            self.what,
            "no interruption" if self.goal_s is None else f"{self.goal_s:.0f} s",
            ", ".join(f"{camera} {seconds:.1f}" for camera, seconds in self.still_s.items()),
            "yes" if self.met else "**no**",
            ", ".join(f"{cause} {count}" for cause, count in sorted(self.dropped.items())) or "0",
            self.problem or self.back,
            "-" if self.whole_s is None else f"{self.whole_s:.0f}",
        ]

    def line(self) -> str:
        """The row for a person who waits for it."""
        return f"{self.name}: {' | '.join(self.cells()[1:])}"


TITLES = ["broken", "goal", "stood still, s", "met", "dropped", "how it came back", "whole after, s"]


def write(lines: Path) -> list[Row]:
    """Write the page from lines of JSON, one a fault."""
    rows = [Row(**json.loads(line)) for line in lines.read_text().splitlines()]
    table = "\n".join(
        f"| {' | '.join(cells)} |" for cells in [TITLES, ["---"] * len(TITLES), *(row.cells() for row in rows)]
    )
    met = sum(row.met for row in rows)
    measured = f"{time.strftime('%Y-%m-%d')}, commit {results.commit()}, {results.machine()}"
    FILE.write_text(f"{HEAD}\n{met} of {len(rows)} goals are met.\n\n{table}\n\n*{measured}*\n")
    return rows


if __name__ == "__main__":
    write(Path(sys.argv[1]))
