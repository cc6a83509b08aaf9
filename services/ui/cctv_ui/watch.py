"""Knows whether Elasticsearch and the image store are there, for the pages, the metrics and the log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from cctv_common.log import Log
from prometheus_client import REGISTRY, CollectorRegistry, Gauge

from cctv_ui import index, pictures

PERIOD_S = 2.0


class Watch:
    """Looks at what the UI depends on, again and again."""

    def __init__(
        self, checks: Mapping[str, Callable[[], Awaitable[None]]], log: Log, registry: CollectorRegistry = REGISTRY
    ) -> None:
        self._checks = checks
        self._log = log
        self._problems: dict[str, str | None] = {}
        self._up = Gauge(
            "cctv_ui_dependency_up", "1 while what the pages depend on answers", ["dependency"], registry=registry
        )

    def problem(self, dependency: str) -> str:
        """Why the dependency is away; empty while it is there, and as long as nobody has looked."""
        return self._problems.get(dependency) or ""

    async def look(self) -> None:
        """Look once, at all at a time."""
        await asyncio.gather(*(self._look(dependency) for dependency in self._checks))

    async def run(self) -> None:
        """Look for ever."""
        while True:
            try:
                await self.look()
            except Exception:
                self._log.exception("cannot look after what the pages depend on")
            await asyncio.sleep(PERIOD_S)

    async def _look(self, dependency: str) -> None:
        problem = ""
        try:
            await self._checks[dependency]()
        except (index.Away, pictures.Away) as away:
            problem = str(away)
        self._up.labels(dependency).set(not problem)
        before = self._problems.get(dependency)
        self._problems[dependency] = problem
        if problem and not before:
            self._log.warning("away", dependency=dependency, problem=problem)
        elif before and not problem:
            self._log.info("back", dependency=dependency)
