"""What the camera itself does, before frames count as the producer's."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge


class CameraMetrics:
    """One camera's."""

    def __init__(self, camera: str, registry: CollectorRegistry = REGISTRY) -> None:
        def counter(name: str, meaning: str) -> Counter:
            return Counter(name, meaning, ["camera"], registry=registry).labels(camera)

        def gauge(name: str, meaning: str) -> Gauge:
            return Gauge(name, meaning, ["camera"], registry=registry).labels(camera)

        self.up = gauge("cctv_camera_up", "1 while the camera sends frames, 0 while it is away")
        self.frozen = gauge("cctv_camera_frozen", "1 while the camera sends one and the same picture, else 0")
        self.grey = gauge("cctv_camera_grey", "1 while the camera sends nothing but grey, else 0")
        self.read = counter("cctv_camera_frames_read", "Frames that the camera sent")
        self.skipped = counter(
            "cctv_camera_frames_skipped", "Frames not wanted, as the camera's rate is above CAMERA_FPS"
        )
        self.reconnects = counter("cctv_camera_reconnects", "Tries to connect to the camera after the first")
        self.changes = counter("cctv_camera_changes", "Changes of the size or codec of the camera's pictures")
