"""The UI: wires Elasticsearch, the image store and the HTTP server together."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading

import uvicorn
from cctv_common.health import Health
from cctv_common.lifecycle import stop_event
from cctv_common.log import configure
from cctv_common.requests import Counted
from cctv_common.settings import load

from cctv_ui.app import ELASTICSEARCH, IMAGE_STORE, application
from cctv_ui.index import Index
from cctv_ui.pictures import Pictures
from cctv_ui.settings import Settings
from cctv_ui.watch import Watch


def main() -> None:
    """Run until SIGTERM; exit with 78 for a wrong setting, 1 for a taken port."""
    settings = load(Settings)
    log = configure("ui", settings.log_level)
    # It tells of every request; the watch says once that Elasticsearch is away, and once that it is back.
    logging.getLogger("elasticsearch").setLevel(logging.CRITICAL)
    try:
        listener = socket.create_server((settings.http_host, settings.http_port), backlog=128)
    except OSError as error:
        log.error("cannot listen", HTTP_HOST=settings.http_host, HTTP_PORT=settings.http_port, problem=error.strerror)
        raise SystemExit(1) from None
    stop = stop_event()
    timeout_s = settings.ui_timeout_ms / 1000
    index = Index(settings.elasticsearch_url, settings.elasticsearch_alias, timeout_s)
    pictures = Pictures(settings.image_store_dir, timeout_s)
    app = application(
        index,
        pictures,
        Watch({ELASTICSEARCH: index.check, IMAGE_STORE: pictures.check}, log),
        # Ready is who can answer: that Elasticsearch or the store is away, the pages say themselves.
        Health(),
        page_size=settings.ui_page_size,
        refresh_ms=settings.ui_refresh_ms,
        username=settings.ui_username,
        password=settings.ui_password.get_secret_value(),
    )
    server = uvicorn.Server(
        uvicorn.Config(
            Counted(app),
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=2,
        )
    )
    threading.Thread(target=_end, args=(stop, server), name="end", daemon=True).start()
    password = bool(settings.ui_password.get_secret_value())
    log.info("serving", url=f"http://{settings.http_host}:{settings.http_port}/", password=password)
    server.run(sockets=[listener])
    log.info("stopped")
    sys.stdout.flush()
    # A thread that a hung file system holds would keep the interpreter from ending.
    os._exit(0)


def _end(stop: threading.Event, server: uvicorn.Server) -> None:
    stop.wait()
    server.should_exit = True


if __name__ == "__main__":
    main()
