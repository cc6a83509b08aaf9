"""What Elasticsearch should have, and for how long."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any

ALIAS = "detections"
"""The index template's name, and the alias of all dated indices."""
DEAD_LETTERS = "dead-letters"
"""The index of what the mapping refuses, and its template's name."""
REPOSITORY = "detections"
"""The repository of snapshots."""
_DATED = re.compile(rf"{ALIAS}-(\d{{4}})\.(\d\d)\.(\d\d)")
BLOCKS = ("read_only", "read_only_allow_delete", "write")
"""An index's blocks that keep documents out."""

Json = dict[str, Any]


def templates() -> dict[str, Json]:
    """The index templates, by name, as Elasticsearch gives them back."""
    said = resources.files(__package__).joinpath("template.json").read_text()
    return {
        ALIAS: json.loads(said),
        DEAD_LETTERS: {
            "index_patterns": [DEAD_LETTERS],
            "priority": 200,
            "template": {
                "settings": {"index": {"number_of_shards": "1", "number_of_replicas": "0"}},
                # Takes all but an error that is no object, which Filebeat then sends in another form.
                "mappings": {
                    "dynamic": "false",
                    "properties": {
                        "@timestamp": {"type": "date"},
                        "error": {"properties": {"type": {"type": "keyword"}}},
                    },
                },
            },
        },
    }


def index_of(moment: datetime.datetime) -> str:
    """The dated index of a moment."""
    return f"{ALIAS}-{moment.astimezone(datetime.UTC):%Y.%m.%d}"


def outlived(names: Iterable[str], days: int, now: datetime.datetime) -> list[str]:
    """Those of the dated indices of which even the last document is older than ``days``."""
    last = (now.astimezone(datetime.UTC) - datetime.timedelta(days=days)).date()
    found = []
    for name in names:
        if match := _DATED.fullmatch(name):
            try:
                day = datetime.date(*map(int, match.groups()))
            except ValueError:  # detections-2026.02.31
                continue
            if day < last:
                found.append(name)
    return sorted(found)


def blocked(settings: Mapping[str, Json]) -> dict[str, str]:
    """Index -> the block that keeps documents out, for those that have one; ``settings``: index -> flat settings."""
    return {
        name: block
        for name, flat in sorted(settings.items())
        for block in BLOCKS
        if str(flat.get(f"index.blocks.{block}", "false")).lower() == "true"
    }


def differs(wanted: Json, there: Json | None) -> bool:
    """Whether an index template is not as it should be; what Elasticsearch adds by itself does not count."""
    return there is None or any(there.get(key) != value for key, value in wanted.items())
