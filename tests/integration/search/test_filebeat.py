"""Detections on their way from Kafka to Elasticsearch, by the real Filebeat."""

from __future__ import annotations

import json
import urllib.error
from collections.abc import Callable
from typing import Any

from waiting import until

from tests.integration.conftest import Kafka
from tests.integration.search.conftest import TODAY, Chain

Detection = Callable[..., dict[str, Any]]


def test_each_detection_is_there_once_as_it_was_sent(chain: Chain, detection: Detection) -> None:
    sent = [detection(frame) for frame in range(300)]
    chain.send(*sent, *sent[:200])
    chain.filebeat()
    chain.wait_found(document["id"] for document in sent)
    found = chain.found()
    assert [found[document["id"]] for document in sent] == sent
    # Another group reads all of it again.
    again = chain.filebeat(FILEBEAT_GROUP=f"again-{chain.topic}")
    until("records read again", lambda: again.stats("libbeat.output.events.duplicates") == 500)
    assert chain.found() == found
    assert chain.found("dead-letters") == {}


def test_the_index_is_that_of_the_detections_own_day(chain: Chain, detection: Detection) -> None:
    chain.filebeat()
    old, new = detection(172799, days_ago=2), detection(0)
    chain.send(old, new)
    chain.wait_found([old["id"], new["id"]])
    # Filebeat finds no template here, and nobody else makes one.
    mappings = chain.elasticsearch.ask("/detections-*/_mapping")
    assert {said["mappings"]["dynamic"] for said in mappings.values()} == {"strict"}
    assert set(chain.found(f"detections-{TODAY:%Y.%m.%d}")) == {new["id"]}
    assert len(mappings) == 2


def test_nothing_is_lost_while_elasticsearch_is_away(chain: Chain, detection: Detection) -> None:
    sent = [detection(frame) for frame in range(400)]
    filebeat = chain.filebeat()
    chain.send(*sent[:100])
    chain.wait_found(document["id"] for document in sent[:100])
    chain.elasticsearch.kill()
    chain.send(*sent[100:200])
    until("records that wait", lambda: filebeat.stats("libbeat.pipeline.events.active") == 100)
    # What it holds is not committed: another one has it again.
    filebeat.kill()
    chain.send(*sent[200:300])
    filebeat.start()
    until("records that wait", lambda: filebeat.stats("libbeat.pipeline.events.active") >= 200)
    chain.elasticsearch.start()
    chain.send(*sent[300:])
    chain.wait_found(document["id"] for document in sent)
    assert chain.found("dead-letters") == {}


def test_nothing_is_lost_while_elasticsearch_hangs_or_the_broker_dies(
    chain: Chain, detection: Detection, kafka: Kafka
) -> None:
    sent = [detection(frame) for frame in range(300)]
    filebeat = chain.filebeat()
    chain.send(*sent[:100])
    chain.wait_found(document["id"] for document in sent[:100])
    chain.elasticsearch.stop()
    chain.send(*sent[100:200])
    until("records that wait", lambda: filebeat.stats("libbeat.pipeline.events.active") == 100)
    chain.elasticsearch.cont()
    kafka.kill()
    kafka.start()
    chain.send(*sent[200:])
    chain.wait_found(document["id"] for document in sent)


def test_what_is_no_detection_is_kept_beside(chain: Chain, detection: Detection) -> None:
    chain.indices()
    until("templates", lambda: "dead-letters" in json.dumps(chain.elasticsearch.ask("/_index_template")))
    good = detection(1)
    refused = [detection(2, colour="red"), detection(3, frame="three"), detection(4, **{"@timestamp": "yesterday"})]
    refused += [detection(5, id=5), detection(6, id="../../etc"), detection(7, error="none"), {"camera": "gate"}]
    broken = [b"{nonsense", b"[1]", b'"text"', b"null", b"5", b"", b"\xff\xfe", None]
    chain.send(*refused, *broken, good)
    chain.filebeat()
    until("refused documents", lambda: len(chain.found("dead-letters")) == len(refused) + len(broken), 90)
    chain.wait_found([good["id"]])
    kept = chain.found("dead-letters")
    messages = [said["message"] for said in kept.values()]
    assert sum("nonsense" in message for message in messages) == 1
    assert sum('"colour"' in message for message in messages) == 1
    assert "strict" in kept[refused[0]["id"]]["error.message"]
    # Read again, they are the same.
    again = chain.filebeat(FILEBEAT_GROUP=f"again-{chain.topic}")
    until("records read again", lambda: again.stats("libbeat.output.events.duplicates") == len(kept) + 1)
    assert chain.found("dead-letters") == kept


def test_a_full_disk_makes_documents_wait(chain: Chain, detection: Detection) -> None:
    filebeat = chain.filebeat()
    first, second = detection(1), detection(2)
    chain.send(first)
    chain.wait_found([first["id"]])
    # What Elasticsearch does to each index below its flood stage.
    block(chain, "read_only_allow_delete", True)
    chain.send(second)
    until("refusal", lambda: filebeat.stats("libbeat.output.events.toomany") > 0)
    block(chain, "read_only_allow_delete", None)
    chain.wait_found([first["id"], second["id"]])
    assert chain.found("dead-letters") == {}


def test_a_detection_that_met_a_block_is_accepted_when_that_is_gone(chain: Chain, detection: Detection) -> None:
    service = chain.indices()
    until("readiness", service.ready)
    chain.filebeat()
    sent = [detection(frame) for frame in range(20)]
    chain.send(*sent[:10])
    chain.wait_found(document["id"] for document in sent[:10])
    block(chain, "write", True)
    chain.send(*sent[10:])
    chain.wait_found((document["id"] for document in sent[10:]), "dead-letters")
    until("note of the block", lambda: "write" in service.unmet().get("blocks", ""))
    block(chain, "write", None)
    chain.wait_found(document["id"] for document in sent)
    found = chain.found()
    assert [found[document["id"]] for document in sent] == sent
    until("no dead letters", lambda: chain.found("dead-letters") == {})


def block(chain: Chain, name: str, value: bool | None) -> None:
    try:
        chain.elasticsearch.ask("/detections-*/_settings", {f"index.blocks.{name}": value}, "PUT")
    except urllib.error.HTTPError as error:
        raise AssertionError(error.read()) from error
