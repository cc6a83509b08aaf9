"""The topics service: looks at the topics now and again, and makes good what differs."""

from __future__ import annotations

from cctv_common.health import Health, HealthServer
from cctv_common.lifecycle import stop_event
from cctv_common.log import configure
from cctv_common.settings import load

from cctv_topics.cluster import Cluster
from cctv_topics.keeper import Keeper
from cctv_topics.settings import Settings

AGAIN_S = 0.5
"""After which time something that is not right yet is looked at again."""
MAX_SILENCE_S = 60.0
"""Several calls to brokers that hang, one after the other."""


def main() -> None:
    """Run until SIGTERM; exits with 78 when the environment is wrong."""
    settings = load(Settings)
    log = configure("topics", settings.log_level)
    stop = stop_event()
    health = Health(max_silence_s=MAX_SILENCE_S)
    keeper = Keeper(settings.topics, Cluster(settings), health, log)
    with HealthServer(health, settings.http_host, settings.http_port):
        log.info("started", topics=[topic.name for topic in settings.topics])
        while not stop.is_set():
            health.beat()
            right = keeper.look()
            stop.wait(settings.topics_check_interval_ms / 1000 if right else AGAIN_S)
        log.info("stopped")


if __name__ == "__main__":
    main()
