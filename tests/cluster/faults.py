"""Every fault, on a cluster of its own: `make faults`. The tests try a few of them only."""

from __future__ import annotations

from collections.abc import Callable

from faults import report
from user import OUTPUT, User

from benchmarks.results import commit

TIMEOUT_S = 7200


def test_faults(root: User, molecule_test: Callable[..., None]) -> None:
    OUTPUT.mkdir(exist_ok=True)
    results = OUTPUT / "faults.jsonl"
    results.unlink(missing_ok=True)
    root.environment |= {"FAULTS_RESULTS": str(results), "FAULTS_COMMIT": commit()}
    try:
        molecule_test("faults", timeout_s=TIMEOUT_S)
    finally:
        rows = report.write(results) if results.exists() else []
    assert [row for row in rows if row.failed] == []
    assert {row.CHAIN for row in rows} == set(report.KINDS)
