"""The page of faults, from what their trials have kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.report import DetectionRow, LiveRow, page, read

from benchmarks import results

STILL = LiveRow(name="killed-video", what="SIGKILL to video", goal_s=10, still_s={"gate": 3.2, "yard": 11.0})
FOUND = DetectionRow(
    name="killed-archiver",
    what="SIGKILL to archiver",
    selected=40,
    records=41,
    detections=40,
    documents=40,
    pictures=40,
    missing={"detections": 0, "documents": 0, "pictures": 0},
    back="archiver started again",
    whole_s=11.4,
    arrived_s=14.6,
)
LOST = DetectionRow(
    name="deleted-kafka",
    what="a broker deleted",
    selected=40,
    records=40,
    detections=40,
    documents=38,
    pictures=39,
    missing={"detections": 0, "documents": 2, "pictures": 1},
)


def test_a_table_for_each_chain_with_the_goals_that_were_met() -> None:
    live, detection = page([read(row.json()) for row in (LOST, STILL, FOUND)]).split("## Detection")
    assert "0 of 1 goals are met" in live
    assert "| SIGKILL to video | 10 s | gate 3.2, yard 11.0 | **no** |" in live
    assert "1 of 2 goals are met" in detection
    assert "| a broker deleted | 40 | 40 in 40 records | 38 | 39 | documents 2, pictures 1 | 0 | **no** |" in detection
    assert "| 40 in 41 records | 40 | 40 | 0 | 0 | yes | archiver started again | 11 | 15 |" in detection


def test_only_the_chain_that_was_tried() -> None:
    assert "## The live view" not in page([FOUND])


def test_detection_fails_when_a_frame_is_missing_or_there_twice_or_none_was_selected() -> None:
    assert not FOUND.failed
    assert LOST.failed
    assert DetectionRow(name="a", what="b", selected=40, twice=1).failed
    assert DetectionRow(name="a", what="b").failed


def test_a_picture_that_stood_still_fails_nothing_and_a_camera_that_stays_dead_does() -> None:
    assert not STILL.met
    assert not STILL.failed
    assert LiveRow(name="a", what="b", goal_s=10, problem="after 300 s: gate is silent").failed


def test_what_a_program_said_stays_in_its_cell() -> None:
    row = DetectionRow(name="a", what="b", problem="nothing could be counted:\n  a | b")
    assert r"| **no** | nothing could be counted: a \| b | - | - |" in page([row])


def test_a_row_is_made_without_git_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "ROOT", tmp_path)
    assert "commit unknown" in LiveRow(name="killed-video", what="SIGKILL to video", goal_s=10).measured
