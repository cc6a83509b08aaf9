"""The lock of jars and its agreement with what else names versions."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import yaml
from ansible_collections.cctv.pipeline.plugins.modules.maven_libs import file_name
from cctv_common.kafka import RECORD_OVERHEAD

ROOT = Path(__file__).resolve().parents[3]
SERVICE = ROOT / "services" / "kafka"
LOCK = yaml.safe_load((SERVICE / "maven.lock.yml").read_text())["maven_artifacts"]


def test_every_artifact_is_pinned_once() -> None:
    for entry in LOCK:
        assert re.fullmatch("[0-9a-f]{64}", entry["sha256"])
        assert re.fullmatch(r"[0-9][\w.-]*", entry["version"]) and "SNAPSHOT" not in entry["version"]
    names = [file_name({"classifier": ""} | entry) for entry in LOCK]
    assert len(set(names)) == len(names)


def test_lock_is_made_from_the_pom() -> None:
    pom = ElementTree.parse(SERVICE / "pom.xml")
    wanted = {
        tuple(node.findtext(f"{{*}}{field}") for field in ("groupId", "artifactId", "version"))
        for node in pom.iterfind(".//{*}dependency")
    }
    assert wanted <= {(entry["group"], entry["artifact"], entry["version"]) for entry in LOCK}


def test_role_and_lock_name_the_same_kafka() -> None:
    defaults = yaml.safe_load((ROOT / "roles/kafka/defaults/main.yml").read_text())
    (locked,) = [entry["version"] for entry in LOCK if entry["artifact"] == "kafka_2.13"]
    assert defaults["kafka_version"] == locked


def test_role_and_clients_leave_the_same_room_for_headers() -> None:
    variables = yaml.safe_load((ROOT / "roles/kafka/vars/main.yml").read_text())
    assert variables["__kafka_record_overhead"] == RECORD_OVERHEAD
