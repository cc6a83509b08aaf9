"""Elasticsearch, as its administrator sees it."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from elasticsearch import Elasticsearch, ElasticsearchException, NotFoundError, TransportError

from cctv_indices.wanted import ALIAS, DEAD_LETTERS, REPOSITORY, Json, index_of

# One that hangs takes the connection and says nothing: several short tries find one that comes back.
TIMEOUT_S = 5.0


class Unable(Exception):
    """Elasticsearch did not do, or not say, what it was asked."""


class Search:
    """Every call takes seconds at most, and raises Unable."""

    def __init__(self, url: str) -> None:
        self._client = Elasticsearch([url], timeout=TIMEOUT_S, max_retries=0)

    def ping(self) -> None:
        """Raise Unable unless it answers."""
        with _plainly():
            self._client.info()

    def template(self, name: str) -> Json | None:
        """An index template, if it is there."""
        with _plainly():
            try:
                found: Any = self._client.indices.get_index_template(name=name)
            except NotFoundError:
                return None
        return dict(found["index_templates"][0]["index_template"])

    def put_template(self, name: str, body: Json) -> None:
        """Make an index template, and let indices that are there take its new fields."""
        with _plainly():
            self._client.indices.put_index_template(name=name, body=body)
            for pattern in body["index_patterns"]:
                mappings = {"properties": body["template"]["mappings"]["properties"]}
                self._client.indices.put_mapping(
                    index=pattern, body=mappings, allow_no_indices=True, ignore_unavailable=True
                )

    def settings(self) -> dict[str, Json]:
        """The flat settings of every index that is ours."""
        with _plainly():
            found: Any = self._client.indices.get_settings(
                index=f"{ALIAS}-*,{DEAD_LETTERS}", flat_settings=True, ignore_unavailable=True, allow_no_indices=True
            )
        return {name: dict(said["settings"]) for name, said in found.items()}

    def has_alias(self) -> bool:
        """Whether the alias leads anywhere."""
        with _plainly():
            return bool(self._client.indices.exists_alias(name=ALIAS))

    def create(self, name: str) -> None:
        """Make an index; one that is there is left as it is."""
        with _plainly():
            self._client.indices.create(index=name, ignore=[400])

    def delete(self, names: list[str]) -> None:
        """Remove indices."""
        with _plainly():
            self._client.indices.delete(index=",".join(names), ignore_unavailable=True)

    def dead_letters(self) -> tuple[int, datetime.datetime | None]:
        """How many there are, and of when the newest is."""
        with _plainly():
            found: Any = self._client.search(
                index=DEAD_LETTERS,
                body={"size": 0, "track_total_hits": True, "aggs": {"newest": {"max": {"field": "@timestamp"}}}},
                ignore_unavailable=True,
            )
        count = int(found["hits"]["total"]["value"])
        newest = found.get("aggregations", {}).get("newest", {}).get("value")
        return count, datetime.datetime.fromtimestamp(newest / 1000, datetime.UTC) if newest is not None else None

    def detections(self) -> int:
        """How many there are to be found."""
        with _plainly():
            return int(self._client.count(index=ALIAS, ignore_unavailable=True)["count"])

    def refused_by_blocks(self, at_most: int) -> list[Json]:
        """Detections that were refused because of a block of their index, which Filebeat does not wait for."""
        with _plainly():
            found: Any = self._client.search(
                index=DEAD_LETTERS,
                body={"size": at_most, "query": {"term": {"error.type": "403"}}},
                ignore_unavailable=True,
            )
        documents = []
        for hit in found["hits"]["hits"]:
            document = json.loads(hit["_source"]["message"]) | {"@timestamp": hit["_source"]["@timestamp"]}
            if document.get("id") == hit["_id"]:
                documents.append(document)
        return documents

    def accept(self, document: Json) -> None:
        """Take a detection after all."""
        moment = datetime.datetime.fromisoformat(document["@timestamp"])
        with _plainly():
            self._client.create(index=index_of(moment), id=document["id"], document=document, ignore=[409])
            self._client.delete(index=DEAD_LETTERS, id=document["id"], ignore=[404], refresh=True)

    def has_repository(self) -> bool:
        """Whether it knows where snapshots are."""
        with _plainly():
            try:
                self._client.snapshot.get_repository(repository=REPOSITORY)
            except NotFoundError:
                return False
        return True

    def put_repository(self) -> None:
        """Have snapshots in a folder of its own below its path.repo."""
        with _plainly():
            body = {"type": "fs", "settings": {"location": REPOSITORY}}
            self._client.snapshot.create_repository(repository=REPOSITORY, body=body)

    def snapshots(self) -> dict[str, Json]:
        """The snapshots that there are, by name, the oldest first."""
        with _plainly():
            found: Any = self._client.snapshot.get(repository=REPOSITORY, snapshot="_all")
        return {said["snapshot"]: said for said in found["snapshots"]}

    def take(self, name: str) -> None:
        """Begin a snapshot of all that is ours."""
        body = {"indices": f"{ALIAS}-*,{DEAD_LETTERS}", "ignore_unavailable": True, "include_global_state": False}
        with _plainly():
            self._client.snapshot.create(repository=REPOSITORY, snapshot=name, body=body)

    def bring_back(self, name: str, indices: list[str]) -> None:
        """Begin to restore indices of a snapshot."""
        body = {"indices": ",".join(indices), "include_global_state": False}
        with _plainly():
            self._client.snapshot.restore(repository=REPOSITORY, snapshot=name, body=body)

    def counts(self) -> dict[str, int]:
        """How many documents each index has, of those that are complete."""
        with _plainly():
            self._client.indices.refresh(index=f"{ALIAS}-*,{DEAD_LETTERS}", ignore_unavailable=True)
            found: Any = self._client.cat.indices(
                index=f"{ALIAS}-*,{DEAD_LETTERS}*", format="json", h="index,health,docs.count", expand_wildcards="open"
            )
        return {said["index"]: int(said["docs.count"]) for said in found if said["health"] != "red"}


@contextmanager
def _plainly() -> Iterator[None]:
    try:
        yield
    except TransportError as error:
        # An answer has a status; without one, what it says is the last of several attempts' reasons.
        raise Unable(_reason(error)) from None
    except ElasticsearchException as error:
        raise Unable(str(error)) from None


def _reason(error: TransportError) -> str:
    if not isinstance(error.status_code, int):
        return f"{error.error}" if error.error else "does not answer"
    info: Any = error.info
    if isinstance(info, dict) and isinstance(info.get("error"), dict) and info["error"].get("reason"):
        return f"{error.status_code}: {info['error']['reason']}"
    return f"{error.status_code}: {error.error}"
