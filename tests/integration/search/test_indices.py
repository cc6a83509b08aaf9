"""The indices service with a real Elasticsearch."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from waiting import until

from tests.integration.search.conftest import TODAY, Chain
from tests.integration.search.test_filebeat import block

Detection = Callable[..., dict[str, Any]]


def index(chain: Chain, *documents: dict[str, Any]) -> None:
    for document in documents:
        day = document["@timestamp"][:10].replace("-", ".")
        chain.elasticsearch.ask(f"/detections-{day}/_doc/{document['id']}", document, "PUT")


def names(chain: Chain) -> set[str]:
    return {said["index"] for said in chain.elasticsearch.ask("/_cat/indices/detections-*,dead-letters*?format=json")}


def test_templates_and_the_alias_are_there_and_come_back(chain: Chain) -> None:
    service = chain.indices()
    until("readiness", service.ready)
    assert names(chain) == {f"detections-{TODAY:%Y.%m.%d}"}
    assert chain.found() == {}
    before = chain.elasticsearch.ask("/_index_template/detections")
    chain.elasticsearch.ask("/_index_template/detections", method="DELETE")
    until("template", lambda: service.log.count('"template made"') == 3)
    assert chain.elasticsearch.ask("/_index_template/detections") == before


def test_a_changed_template_lets_the_days_index_take_its_fields(chain: Chain, detection: Detection) -> None:
    chain.elasticsearch.put_template()
    template = chain.elasticsearch.ask("/_index_template/detections")["index_templates"][0]["index_template"]
    del template["template"]["mappings"]["properties"]["faces_blurred"]
    chain.elasticsearch.ask("/_index_template/detections", template, "PUT")
    chain.elasticsearch.ask(f"/detections-{TODAY:%Y.%m.%d}", method="PUT")
    until("readiness", chain.indices().ready)
    index(chain, detection(1))
    chain.wait_found([detection(1)["id"]])


def test_counts_what_can_be_found(chain: Chain, detection: Detection) -> None:
    service = chain.indices()
    until("readiness", service.ready)
    index(chain, detection(1), detection(2))
    chain.elasticsearch.ask("/_refresh", method="POST")
    until("count", lambda: "cctv_indices_detections 2.0" in service.metrics().splitlines())


def test_only_days_that_are_over_for_long_enough_are_removed(chain: Chain, detection: Detection) -> None:
    chain.elasticsearch.put_template()
    kept = [detection(1), detection(1, days_ago=3)]
    index(chain, *kept, detection(1, days_ago=4), detection(1, days_ago=400))
    chain.elasticsearch.ask("/dead-letters/_doc/1", {"@timestamp": "2020-01-01T00:00:00Z"}, "PUT")
    chain.elasticsearch.ask("/detections-by-hand", method="PUT")
    chain.elasticsearch.ask("/_refresh", method="POST")
    service = chain.indices(ELASTICSEARCH_RETENTION_DAYS="3")
    until("readiness", service.ready)
    until("removal", lambda: len(names(chain)) == 3)
    chain.wait_found(document["id"] for document in kept)
    assert "detections-by-hand" in names(chain)


def test_an_outage_and_a_block_are_told_and_outlived(chain: Chain) -> None:
    service = chain.indices()
    until("readiness", service.ready)
    block(chain, "read_only_allow_delete", True)
    until("note of the block", lambda: "read_only_allow_delete" in service.unmet().get("blocks", ""))
    block(chain, "read_only_allow_delete", None)
    until("readiness", service.ready)
    chain.elasticsearch.kill()
    until("note of the outage", lambda: "does not answer" in service.unmet().get("elasticsearch", ""))
    chain.elasticsearch.start()
    until("readiness", service.ready)
    service.terminate()
    assert service.process is not None and service.process.returncode == 0


def test_refused_documents_are_told(chain: Chain) -> None:
    service = chain.indices()
    until("readiness", service.ready)
    chain.elasticsearch.ask("/dead-letters/_doc/1", {"@timestamp": "2020-01-01T00:00:00Z", "a": 1}, "PUT")
    chain.elasticsearch.ask("/dead-letters/_doc/2", {"@timestamp": f"{TODAY:%Y-%m-%d}", "a": {"b": 1}}, "PUT")
    until("note of them", lambda: '"documents were refused"' in service.log)


def test_what_is_gone_comes_back_from_a_snapshot(chain: Chain, detection: Detection) -> None:
    service = chain.indices(ELASTICSEARCH_SNAPSHOTS="true")
    until("readiness", service.ready)
    gone, there = [detection(frame, days_ago=1) for frame in range(20)], detection(1)
    index(chain, *gone, there)
    service.once("snapshot", "before")
    later = detection(2)
    index(chain, later)
    chain.elasticsearch.ask(f"/detections-{gone[0]['@timestamp'][:10].replace('-', '.')}", method="DELETE")
    chain.wait_found([there["id"], later["id"]])
    said = service.once("restore")
    chain.wait_found([*(document["id"] for document in gone), there["id"], later["id"]])
    assert json.loads(said.splitlines()[-1])["left_as_they_are"] == [f"detections-{TODAY:%Y.%m.%d}"]
    # With the node's own data gone, all is in the snapshot still.
    chain.elasticsearch.ask("/detections-*", method="DELETE")
    service.once("restore", "before")
    chain.wait_found([*(document["id"] for document in gone), there["id"]])
    chain.elasticsearch.ask("/_snapshot/detections/before", method="DELETE")
