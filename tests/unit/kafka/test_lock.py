"""The lock of jars and its agreement with what else names versions."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from ansible_collections.cctv.pipeline.plugins.modules.maven_libs import file_name
from cctv_common.kafka import RECORD_OVERHEAD

ROOT = Path(__file__).resolve().parents[3]
FIELDS = ("groupId", "artifactId", "version")
POMS = sorted(ROOT.glob("services/*/pom.xml"))


def locked(pom: Path) -> list[dict[str, str]]:
    found: list[dict[str, str]] = yaml.safe_load((pom.parent / "maven.lock.yml").read_text())["maven_artifacts"]
    return found


@pytest.mark.parametrize("pom", POMS, ids=lambda pom: pom.parent.name)
def test_every_artifact_is_pinned_once(pom: Path) -> None:
    lock = locked(pom)
    for entry in lock:
        assert re.fullmatch("[0-9a-f]{64}", entry["sha256"])
        assert re.fullmatch(r"[0-9][\w.-]*", entry["version"]) and "SNAPSHOT" not in entry["version"]
    names = [file_name({"classifier": ""} | entry) for entry in lock]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("pom", POMS, ids=lambda pom: pom.parent.name)
def test_lock_is_made_from_the_pom(pom: Path) -> None:
    tree = ElementTree.parse(pom)
    properties = {f"${{{node.tag.split('}')[1]}}}": node.text for node in tree.iterfind("./{*}properties/*")}
    wanted = {
        tuple(properties.get(node.findtext(f"{{*}}{field}", ""), node.findtext(f"{{*}}{field}")) for field in FIELDS)
        for node in tree.iterfind("./{*}dependencies/{*}dependency")
    }
    assert wanted <= {(entry["group"], entry["artifact"], entry["version"]) for entry in locked(pom)}


def test_elasticsearch_knows_its_module_by_the_locks_version() -> None:
    folder = ROOT / "services/elasticsearch"
    (version,) = {
        entry["version"] for entry in locked(folder / "pom.xml") if entry["group"].startswith("org.elasticsearch")
    }
    descriptor = (folder / "etc/modules/transport-netty4/plugin-descriptor.properties").read_text().splitlines()
    assert {f"version={version}", f"elasticsearch.version={version}"} <= set(descriptor)


def test_role_and_lock_name_the_same_kafka() -> None:
    defaults = yaml.safe_load((ROOT / "roles/kafka/defaults/main.yml").read_text())
    (version,) = [
        entry["version"] for entry in locked(ROOT / "services/kafka/pom.xml") if entry["artifact"] == "kafka_2.13"
    ]
    assert defaults["kafka_version"] == version


def test_role_and_clients_leave_the_same_room_for_headers() -> None:
    variables = yaml.safe_load((ROOT / "roles/kafka/vars/main.yml").read_text())
    assert variables["__kafka_record_overhead"] == RECORD_OVERHEAD
