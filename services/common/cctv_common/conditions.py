"""Conditions that something keeps true, as ``/readyz`` and the log tell of them."""

from __future__ import annotations

from collections.abc import Iterable

from cctv_common.health import Health
from cctv_common.log import Log

_UNKNOWN = "not looked at yet"


class Conditions:
    """Says of each condition when it comes to hold, and why when it ceases to. None of ``names`` holds at first."""

    def __init__(self, names: Iterable[str], health: Health, log: Log) -> None:
        self._health = health
        self._log = log
        self._unmet = dict.fromkeys(names, _UNKNOWN)
        for name, problem in self._unmet.items():
            health.set_ready(name, problem)

    def unmet(self, name: str) -> str:
        """Why the condition does not hold; an empty string where it does."""
        return self._unmet[name]

    def say(self, name: str, problem: str) -> None:
        """Say that the condition holds (an empty string), or why not; ``just ...`` is no reason for a warning."""
        before, self._unmet[name] = self._unmet[name], problem
        self._health.set_ready(name, problem)
        if problem == before:
            return
        if not problem:
            self._log.info("as wanted", what=name)
        elif not problem.startswith("just "):
            self._log.warning("not as wanted", what=name, problem=problem)
