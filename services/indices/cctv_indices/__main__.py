"""The indices service: looks at Elasticsearch now and again, and makes good what differs."""

from __future__ import annotations

import logging

from cctv_common.health import Health, HealthServer
from cctv_common.lifecycle import stop_event
from cctv_common.log import configure
from cctv_common.settings import load

from cctv_indices.keeper import Keeper
from cctv_indices.search import Search
from cctv_indices.settings import Settings

AGAIN_S = 0.5
"""After which time something that is not right yet is looked at again."""
MAX_SILENCE_S = 60.0
"""Several calls to an Elasticsearch that hangs, one after the other."""


def main() -> None:
    """Run until SIGTERM; exits with 78 when the environment is wrong."""
    settings = load(Settings)
    log = configure("indices", settings.log_level)
    # An outage is told once, and not by each attempt.
    logging.getLogger("elasticsearch").setLevel(logging.CRITICAL)
    stop = stop_event()
    health = Health(max_silence_s=MAX_SILENCE_S)
    keeper = Keeper(settings, Search(settings.elasticsearch_url), health, log)
    with HealthServer(health, settings.http_host, settings.http_port):
        log.info("started", elasticsearch=settings.elasticsearch_url)
        while not stop.is_set():
            health.beat()
            right = keeper.look()
            stop.wait(settings.indices_check_interval_ms / 1000 if right else AGAIN_S)
        log.info("stopped")


if __name__ == "__main__":
    main()
