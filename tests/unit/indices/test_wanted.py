from __future__ import annotations

import datetime
from typing import Any

import pytest
from cctv_detection.document import schema
from cctv_indices.wanted import blocked, differs, index_of, outlived, templates

NOW = datetime.datetime(2026, 3, 2, 0, 30, tzinfo=datetime.UTC)


def test_a_day_goes_when_its_last_document_is_too_old() -> None:
    names = ["detections-2026.02.28", "detections-2026.03.01", "detections-2026.02.27", "detections-2026.03.02"]
    assert outlived(names, 1, NOW) == ["detections-2026.02.27", "detections-2026.02.28"]
    assert outlived(names, 3, NOW) == []
    assert outlived(names, 2, NOW) == ["detections-2026.02.27"]


def test_days_are_those_of_utc() -> None:
    here = NOW.astimezone(datetime.timezone(datetime.timedelta(hours=-8)))
    assert index_of(here) == "detections-2026.03.02"
    assert outlived(["detections-2026.02.28"], 1, here) == ["detections-2026.02.28"]


@pytest.mark.parametrize(
    "name", ["detections-by-hand", "detections-2020.02.31", "other-2020.01.01", "detections-2020.01.01-copy", ""]
)
def test_what_is_no_day_stays(name: str) -> None:
    assert outlived([name], 1, NOW) == []


def test_blocks_that_keep_documents_out_are_found() -> None:
    settings: dict[str, dict[str, Any]] = {
        "a": {"index.blocks.read_only_allow_delete": "true"},
        "b": {"index.blocks.write": "false", "index.blocks.metadata": "true"},
        "c": {"index.blocks.write": "true"},
        "d": {},
    }
    assert blocked(settings) == {"a": "read_only_allow_delete", "c": "write"}


def test_what_elasticsearch_adds_is_no_difference() -> None:
    wanted = templates()["detections"]
    assert not differs(wanted, {**wanted, "composed_of": []})
    assert differs(wanted, {**wanted, "priority": 1})
    assert differs(wanted, None)


def test_the_mapping_takes_what_the_documents_schema_has_and_no_more() -> None:
    def compare(mapping: dict[str, Any], described: dict[str, Any]) -> None:
        described = described.get("items", described)
        if "$ref" in described:
            described = said["$defs"][described["$ref"].removeprefix("#/$defs/")]
        assert mapping.keys() == described["properties"].keys()
        for name, field in mapping.items():
            if "properties" in field:
                compare(field["properties"], described["properties"][name])

    said = schema()
    mapping = templates()["detections"]["template"]["mappings"]
    assert mapping["dynamic"] == "strict"
    compare(mapping["properties"], said)
