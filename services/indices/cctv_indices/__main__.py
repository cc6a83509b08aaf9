"""The indices service: looks at Elasticsearch now and again, and makes good what differs.

``cctv-indices snapshot [NAME]`` and ``cctv-indices restore [NAME]`` do just that, in the same environment.
"""

from __future__ import annotations

import logging
import sys

from cctv_common.health import Health, HealthServer
from cctv_common.lifecycle import stop_event
from cctv_common.log import Log, configure
from cctv_common.settings import load

from cctv_indices.keeper import Keeper
from cctv_indices.search import Search, Unable
from cctv_indices.settings import Settings
from cctv_indices.snapshots import restore, snapshot

AGAIN_S = 0.5
"""After which time something that is not right yet is looked at again."""
MAX_SILENCE_S = 60.0
"""Several calls to an Elasticsearch that hangs, one after the other."""


def main() -> None:
    """Do what the arguments say, or keep the indices; exits with 78 when the environment is wrong."""
    settings = load(Settings)
    log = configure("indices", settings.log_level)
    # An outage is told once, and not by each attempt.
    logging.getLogger("elasticsearch").setLevel(logging.CRITICAL)
    search = Search(settings.elasticsearch_url)
    if sys.argv[1:]:
        once(search, log, *sys.argv[1:])
    else:
        keep(settings, search, log)


def once(search: Search, log: Log, what: str, name: str = "") -> None:
    """Do one thing; exits with 1 and the reason when it cannot be done."""
    try:
        {"snapshot": snapshot, "restore": restore}[what](search, log, name)
    except Unable as unable:
        print(unable, file=sys.stderr)
        raise SystemExit(1) from None


def keep(settings: Settings, search: Search, log: Log) -> None:
    """Run until SIGTERM."""
    stop = stop_event()
    health = Health(max_silence_s=MAX_SILENCE_S)
    keeper = Keeper(settings, search, health, log)
    with HealthServer(health, settings.http_host, settings.http_port):
        log.info("started", elasticsearch=settings.elasticsearch_url)
        while not stop.is_set():
            health.beat()
            right = keeper.look()
            stop.wait(settings.indices_check_interval_ms / 1000 if right else AGAIN_S)
        log.info("stopped")


if __name__ == "__main__":
    main()
