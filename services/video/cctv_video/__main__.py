"""The video service: wires Kafka, the hub and the HTTP server together."""

from __future__ import annotations

import sys
import threading

from cctv_common.health import Health
from cctv_common.lifecycle import stop_event
from cctv_common.log import configure
from cctv_common.metrics import StageMetrics
from cctv_common.requests import Counted
from cctv_common.settings import load

from cctv_video.app import application
from cctv_video.hub import Hub
from cctv_video.reader import Intake, Reader
from cctv_video.server import Server, listen
from cctv_video.settings import Settings

MAX_SILENCE_S = 5.0
"""The Kafka thread beats several times a second."""


def main() -> None:
    """Run until SIGTERM; exit with 78 for a wrong setting, 1 for a taken port or a failed thread."""
    settings = load(Settings)
    log = configure("video", settings.log_level)
    try:
        listener = listen(settings.http_host, settings.http_port)
    except OSError as error:
        log.error("cannot listen", HTTP_HOST=settings.http_host, HTTP_PORT=settings.http_port, problem=error.strerror)
        raise SystemExit(1) from None
    # The Kafka thread hands over many times a second: do not let it wait 5 ms for the interpreter each time.
    sys.setswitchinterval(0.0005)
    stop = stop_event()
    health = Health(max_silence_s=MAX_SILENCE_S)
    hub = Hub(
        settings.video_cameras,
        max_cameras=settings.video_max_cameras,
        max_viewers=settings.video_max_viewers,
        max_age_s=settings.frame_max_age_ms / 1000,
        silent_after_s=settings.camera_silent_after_ms / 1000,
        forget_after_s=settings.camera_forget_after_ms / 1000,
        window_s=settings.video_stats_window_ms / 1000,
    )
    intake = Intake(hub, StageMetrics("video"), settings.kafka_max_frame_bytes, log)
    reader = Reader(settings, intake, health, stop, log)
    password = settings.video_password.get_secret_value()
    app = application(
        hub,
        health,
        write_timeout_s=settings.video_write_timeout_ms / 1000,
        root_path=settings.video_root_path,
        username=settings.video_username,
        password=password,
    )
    server = Server(Counted(app), hub)
    threading.Thread(target=_end, args=(stop, server), name="end", daemon=True).start()
    reader.start()
    url = f"http://{settings.http_host}:{settings.http_port}{settings.video_root_path}/"
    log.info("serving", url=url, cameras=settings.video_cameras, password=bool(password))
    server.run(sockets=[listener])
    stop.set()
    reader.join(timeout=2)
    log.info("stopped")
    raise SystemExit(reader.failed)


def _end(stop: threading.Event, server: Server) -> None:
    stop.wait()
    server.should_exit = True


if __name__ == "__main__":
    main()
