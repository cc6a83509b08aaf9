"""Compares what is wanted with what is there, and makes good what can be."""

from __future__ import annotations

import datetime
from collections.abc import Callable

from cctv_common.conditions import Conditions
from cctv_common.health import Health
from cctv_common.log import Log
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge

from cctv_indices.search import Search, Unable
from cctv_indices.settings import Settings
from cctv_indices.wanted import ALIAS, DEAD_LETTERS, REPOSITORY, blocked, differs, index_of, outlived, templates

AT_ONCE = 500
"""Documents that are accepted in one look."""


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class Keeper:
    """Keeps templates, indices and the repository of snapshots as they should be; ready when all are."""

    def __init__(
        self,
        settings: Settings,
        search: Search,
        health: Health,
        log: Log,
        registry: CollectorRegistry = REGISTRY,
        now: Callable[[], datetime.datetime] = _now,
    ) -> None:
        self._settings = settings
        self._search = search
        self._health = health
        self._log = log
        self._now = now
        self._templates = templates()
        self._dead = 0
        self._right = Gauge("cctv_indices_as_wanted", "1 when it is as described", ["what"], registry=registry)
        self._removed = Counter("cctv_indices_removed", "Indices that were removed for their age", registry=registry)
        self._detections = Gauge("cctv_indices_detections", "Detections that can be found", registry=registry)
        self._letters = Gauge("cctv_dead_letters", "Documents that the mapping refused", registry=registry)
        self._tasks: dict[str, Callable[[], str]] = {
            "templates": self._keep_templates,
            "retention": self._keep_retention,
            "alias": self._keep_alias,
            "blocks": self._look_for_blocks,
            "refused by blocks": self._accept_blocked,
            "dead letters": self._look_at_dead_letters,
            "detections": self._count_detections,
        }
        if settings.elasticsearch_snapshots:
            self._tasks["snapshots"] = self._keep_repository
        self._conditions = Conditions(("elasticsearch", *self._tasks), health, log)

    def look(self) -> bool:
        """Look at all once and make good what differs; whether all was found to be as it should."""
        try:
            self._search.ping()
        except Unable as unable:
            self._conditions.say("elasticsearch", f"does not answer: {unable}")
            self._right.labels("elasticsearch").set(0)
            return False
        self._conditions.say("elasticsearch", "")
        self._right.labels("elasticsearch").set(1)
        right = True
        for what, task in self._tasks.items():
            self._health.beat()
            try:
                problem = task()
            except Unable as unable:
                problem = str(unable)
            self._conditions.say(what, problem)
            self._right.labels(what).set(not problem)
            right = right and not problem
        return right

    def _keep_templates(self) -> str:
        changed = [name for name, wanted in self._templates.items() if differs(wanted, self._search.template(name))]
        for name in changed:
            self._search.put_template(name, self._templates[name])
            self._log.info("template made", template=name)
        return "just changed" if changed else ""

    def _keep_retention(self) -> str:
        days, now = self._settings.elasticsearch_retention_days, self._now()
        old = outlived(self._search.settings(), days, now)
        newest = self._search.dead_letters()[1]
        if newest is not None and newest < now - datetime.timedelta(days=days):
            old.append(DEAD_LETTERS)
        if old:
            self._search.delete(old)
            self._removed.inc(len(old))
            self._log.info("indices removed", indices=old, older_than_days=days)
        return ""

    def _keep_alias(self) -> str:
        if self._conditions.unmet("templates"):
            return "waiting for its template"
        if self._search.has_alias():
            return ""
        name = index_of(self._now())
        self._search.create(name)
        return (
            "" if self._search.has_alias() else f"the index {name} has not the alias {ALIAS}; expected to be made by it"
        )

    def _look_for_blocks(self) -> str:
        found = blocked(self._search.settings())
        said = ", ".join(f"{name} has the block {block}" for name, block in found.items())
        if "read_only_allow_delete" in found.values():
            return f"{said}, which Elasticsearch takes away when its disk has room again"
        return said

    def _accept_blocked(self) -> str:
        if self._conditions.unmet("blocks"):
            return ""
        documents = self._search.refused_by_blocks(AT_ONCE)
        for document in documents:
            self._health.beat()
            self._search.accept(document)
        if documents:
            self._log.info("documents accepted that a block had refused", count=len(documents))
        return "just accepted some" if len(documents) == AT_ONCE else ""

    def _look_at_dead_letters(self) -> str:
        count = self._search.dead_letters()[0]
        self._letters.set(count)
        if count > self._dead:
            self._log.warning("documents were refused", index=DEAD_LETTERS, count=count)
        self._dead = count
        return ""

    def _count_detections(self) -> str:
        self._detections.set(self._search.detections())
        return ""

    def _keep_repository(self) -> str:
        if not self._search.has_repository():
            self._search.put_repository()
            self._log.info("repository made", repository=REPOSITORY)
        return ""
