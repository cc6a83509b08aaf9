"""One camera's pictures into Kafka."""

from __future__ import annotations

import os
import sys
import threading
import time
from functools import partial

import cv2
from cctv_common.frames import Frame
from cctv_common.health import Health, HealthServer
from cctv_common.kafka import producer_config
from cctv_common.lifecycle import stop_event
from cctv_common.log import Log, configure
from cctv_common.metrics import StageMetrics, WorkMetrics
from cctv_common.picture import encode
from cctv_common.settings import load
from confluent_kafka import Producer

from cctv_producer.lookout import Lookout
from cctv_producer.metrics import CameraMetrics
from cctv_producer.pacing import Backoff, Pacer
from cctv_producer.publish import Publisher
from cctv_producer.reader import Picture, Reader
from cctv_producer.settings import Settings
from cctv_producer.slot import Slot
from cctv_producer.sources import connect


def main() -> None:
    """Run until SIGTERM."""
    epoch = time.time_ns() // 1_000_000
    settings = load(Settings)
    log = configure("producer", settings.log_level).bind(camera=settings.camera_id)
    stop = stop_event()
    # Frames are small and cameras many: OpenCV's threads would only cost memory and each other's time.
    cv2.setNumThreads(1)
    # A reader may rightly be silent while a camera is opened, and while its name is looked up.
    health = Health(max_silence_s=30 + 2 * settings.camera_timeout_ms / 1000)
    health.set_ready("kafka", "not asked yet")
    try:
        server = HealthServer(health, settings.http_host, settings.http_port)
    except OSError as error:
        log.error(f"HTTP_PORT={settings.http_port}: cannot listen on {settings.http_host}: {error.strerror}")
        sys.exit(1)
    with server:
        reader = run(settings, epoch, health, log, stop)
    sys.stdout.flush()
    if reader.is_alive():
        # It waits inside FFmpeg for a camera that says nothing; an interpreter that ends under it may crash.
        os._exit(0)
    sys.exit(1 if reader.failure else 0)


def run(settings: Settings, epoch: int, health: Health, log: Log, stop: threading.Event) -> Reader:
    """Send frames until ``stop``; return the reader, which may still hang in a read that times out later."""
    camera = settings.camera_id
    stage = StageMetrics("producer")
    kafka = Producer(producer_config(settings, f"producer-{camera}", settings.frame_max_age_ms))
    WorkMetrics("producer").waiting(lambda: len(kafka))
    publisher = Publisher(
        kafka,
        settings.kafka_videocam_topic,
        max_bytes=settings.kafka_max_frame_bytes,
        max_age_ms=settings.frame_max_age_ms,
        stage=stage,
        log=log,
    )
    slot: Slot[Picture] = Slot()
    metrics = CameraMetrics(camera)
    reader = Reader(
        partial(
            connect,
            settings.location,
            fps=settings.camera_fps,
            width=settings.camera_width,
            timeout_ms=settings.camera_timeout_ms,
        ),
        slot,
        camera=camera,
        # Stills are shown at the wanted rate already.
        pacer=Pacer(0 if settings.location.kind == "stills" else settings.camera_fps),
        backoff=Backoff(0.5, settings.camera_backoff_max_ms / 1000),
        stage=stage,
        metrics=metrics,
        health=health,
        log=log,
        stop=stop,
        # Footage is what it is.
        lookout=Lookout(settings.camera_frozen_after_s, metrics, log) if settings.location.live else None,
    )
    watcher = threading.Thread(target=publisher.watch, args=(health, stop), name="kafka", daemon=True)
    log.info("started", source=settings.location.shown, epoch=epoch)
    reader.start()
    watcher.start()
    operations = settings.operations
    while not stop.is_set():
        health.beat("main")
        picture = slot.take(timeout=0.1)
        if picture:
            image = operations.apply(picture.image)
            jpeg = encode(image, settings.jpeg_quality)
            height, width = image.shape[:2]
            publisher.send(Frame(camera, epoch, picture.number, picture.captured_at, width, height, jpeg))
        publisher.poll()
    log.info("stopping")
    publisher.close(timeout=1.0)
    reader.join(timeout=1.0)
    watcher.join(timeout=2.5)
    return reader


if __name__ == "__main__":
    main()
