"""The driver's environment."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from cctv_common.jpeg import MAX_PIXELS
from cctv_common.settings import KafkaSettings, ServiceSettings
from pydantic import Field, field_validator, model_validator
from pydantic_settings import NoDecode

from cctv_detection.detectors import NAMES, NONE
from cctv_detection.select import Camera, Cameras
from cctv_detection.worker import Work

LOCAL = re.compile(r"local\[([1-9][0-9]{0,3})\]")
MEMORY = r"^[1-9][0-9]*[mg]$"


class Settings(ServiceSettings, KafkaSettings):
    """The keys of the ConfigMaps ``detection`` and ``kafka-client``."""

    kafka_detections_topic: str = "detections"
    kafka_detection_images_topic: str = "detection-images"

    detection_cameras: Annotated[dict[str, Camera], NoDecode] = Field(
        default_factory=dict, description='JSON: {"gate": {"every": 12, "blur_faces": false}}'
    )
    detection_every: int = Field(
        12, ge=0, description="of a camera that is not named, every how manyth frame is selected"
    )
    detection_blur_faces: bool = Field(False, description="the same for its faces")
    detection_object_detector: str = NAMES["objects"][0]
    detection_face_detector: str = NAMES["faces"][0]
    detection_object_min_score: float | None = Field(None, ge=0, le=1, description="by default the detector's own")
    detection_face_min_score: float | None = Field(None, ge=0, le=1, description="by default the detector's own")
    detection_models_dir: Path = Field(description="the folder that cctv-build-detectors has made")
    frame_max_pixels: int = Field(MAX_PIXELS, ge=1, description="frames with more pixels are taken for bombs")
    jpeg_quality: int = Field(80, ge=1, le=100)

    detection_checkpoint_dir: Path = Field(description="a folder that outlives the driver: how far the query is")
    detection_starting_offsets: Literal["latest", "earliest"] = Field(
        "latest", description="where a query that has no checkpoint begins"
    )
    detection_trigger_ms: int = Field(500, ge=0, description="least time from one batch to the next")
    detection_max_records: int = Field(500, ge=1, description="most records of videocam in a batch")
    detection_worker_frames: int = Field(4, ge=1, description="most frames that a worker is given at a time")

    spark_master: str = Field("local[2]", description="local[CORES], or k8s:// and the URL of the API server")
    detection_jars_dir: Path = Field(description="the folder of the Kafka source's jars")
    detection_driver_memory: str = Field("768m", pattern=MEMORY)
    detection_executors: int = Field(1, ge=1)
    detection_executor_cores: int = Field(1, ge=1)
    detection_executor_cpu: str = Field("1", pattern=r"^[0-9]+(\.[0-9]+)?m?$", description="an executor's CPU request")
    detection_executor_memory: str = Field("512m", pattern=MEMORY)
    detection_executor_overhead: str = Field("1g", pattern=MEMORY, description="memory beside an executor's heap")
    detection_executor_image: str = ""
    detection_executor_template: str = Field("", description="file with the executors' pod template")
    detection_driver_host: str = Field("", description="where executors reach the driver")
    detection_driver_port: int = Field(7078, ge=1, le=65535)
    detection_block_manager_port: int = Field(7079, ge=1, le=65535)
    pod_name: str = ""
    pod_ip: str = "127.0.0.1"
    pod_namespace: str = ""

    @field_validator("detection_cameras", mode="before")
    @classmethod
    def _parse(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError(f"is no JSON: {error}") from None

    @field_validator("detection_object_min_score", "detection_face_min_score", mode="before")
    @classmethod
    def _unset(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("detection_object_detector")
    @classmethod
    def _objects(cls, value: str) -> str:
        return _known(value, NAMES["objects"])

    @field_validator("detection_face_detector")
    @classmethod
    def _faces(cls, value: str) -> str:
        return _known(value, NAMES["faces"])

    @field_validator("spark_master")
    @classmethod
    def _master(cls, value: str) -> str:
        if not (LOCAL.fullmatch(value) or value.startswith("k8s://")):
            raise ValueError("expected local[CORES] or k8s://URL")
        return value

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.detection_face_detector == NONE and self.cameras.blurred():
            raise ValueError(
                f"DETECTION_FACE_DETECTOR={NONE}: expected {' or '.join(n for n in NAMES['faces'] if n != NONE)},"
                " as there are cameras whose faces are blurred"
            )
        if not self.local:
            needed = ("detection_executor_image", "detection_executor_template", "detection_driver_host")
            for name in (name for name in (*needed, "pod_name", "pod_namespace") if not getattr(self, name)):
                raise ValueError(f"{name.upper()} is not set; expected a value, as SPARK_MASTER={self.spark_master}")
        return self

    @property
    def local(self) -> bool:
        """Whether the work is done in the driver, on one machine."""
        return not self.spark_master.startswith("k8s://")

    @property
    def cores(self) -> int:
        """How many frames are worked on at a time."""
        if said := LOCAL.fullmatch(self.spark_master):
            return int(said[1])
        return self.detection_executors * self.detection_executor_cores

    @property
    def work(self) -> Work:
        """What workers have to know; no password is among it."""
        return Work(
            detections=self.kafka_detections_topic,
            images=self.kafka_detection_images_topic,
            models=self.detection_models_dir,
            objects=self.detection_object_detector,
            faces=self.detection_face_detector,
            object_min_score=self.detection_object_min_score,
            face_min_score=self.detection_face_min_score,
            cameras=self.cameras,
            max_bytes=self.kafka_max_frame_bytes,
            max_pixels=self.frame_max_pixels,
            jpeg_quality=self.jpeg_quality,
        )

    @property
    def cameras(self) -> Cameras:
        """Which frames are looked at, and how."""
        return Cameras(Camera(every=self.detection_every, blur_faces=self.detection_blur_faces), self.detection_cameras)


def _known(value: str, names: tuple[str, ...]) -> str:
    if value not in names:
        raise ValueError(f"expected {' or '.join(names)}")
    return value
