"""The one query: frames of videocam in, detections and their pictures out."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F

from cctv_detection import worker
from cctv_detection.kafka_options import sink_options, source_options
from cctv_detection.select import Cameras
from cctv_detection.settings import Settings

VERSION = 1
"""Of what the query keeps in its checkpoint: to be raised with a change that cannot go on from an older one."""


def start(session: SparkSession, settings: Settings, tally: worker.Tally) -> Any:
    """Start it; returns Spark's StreamingQuery.

    Both topics are written by one sink, so that there is one checkpoint: whatever is written again after a crash is
    written to both.
    """
    frames = (
        session.readStream.format("kafka")
        .options(**source_options(settings))
        .option("subscribe", settings.kafka_videocam_topic)
        .option("startingOffsets", settings.detection_starting_offsets)
        .option("maxOffsetsPerTrigger", settings.detection_max_records)
        .load()
    )
    records = (
        frames.where(selected(settings.cameras))
        .select("value", "headers")
        # A camera's frames are all in one partition, and one core would have them all. Their order does not matter.
        .repartition(settings.cores)
        .mapInArrow(functools.partial(worker.detect, settings.work, tally), worker.COLUMNS)
    )
    return (
        records.writeStream.format("kafka")
        .options(**sink_options(settings))
        .option("checkpointLocation", str(checkpoint(settings)))
        .trigger(processingTime=f"{settings.detection_trigger_ms} milliseconds")
        .queryName("detection")
        .start()
    )


def checkpoint(settings: Settings) -> Path:
    """The folder in which the query remembers how far it is."""
    return settings.detection_checkpoint_dir / f"v{VERSION}"


def selected(cameras: Cameras) -> Column:
    """As `Cameras.selected`, in Spark's own expressions: what is not selected never leaves the JVM.

    A record whose frame number cannot be read is selected, so that a worker tells what is wrong with it.
    """
    number = _header("frame")
    every = _every(cameras)
    return (
        F.when(~F.coalesce(number.rlike(r"\A[0-9]{1,18}\z"), F.lit(False)), True)
        .when(every == 0, False)
        .otherwise(number.cast("long") % every == 0)
    )


def _every(cameras: Cameras) -> Column:
    default = F.lit(cameras.default.every)
    if not cameras.named:
        return default
    named: Mapping[str, int] = {name: camera.every for name, camera in cameras.named.items()}
    pairs = [F.lit(part) for pair in named.items() for part in pair]
    return F.coalesce(F.try_element_at(F.create_map(*pairs), _header("camera")), default)


def _header(name: str) -> Column:
    """Text of the last header of that name, which is the one that counts; null without any."""
    found = F.filter("headers", lambda header: header["key"] == name)
    return F.try_element_at(found, F.lit(-1))["value"].cast("string")
