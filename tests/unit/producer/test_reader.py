"""The reader over cameras that follow a script."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from cctv_common.health import Health
from cctv_common.metrics import StageMetrics
from cctv_producer.image import Image
from cctv_producer.metrics import CameraMetrics
from cctv_producer.pacing import Backoff, Pacer
from cctv_producer.reader import Picture, Reader
from cctv_producer.slot import Slot
from cctv_producer.source import CameraAway, Unreadable
from prometheus_client import CollectorRegistry

FRAME = "frame"
PASSED_OVER = "passed over"


class Script:
    """Cameras one after the other: each a list of what grabbing gives, or an error that opening it gives."""

    codec = "script"

    def __init__(self, *cameras: list[str | Exception] | Exception) -> None:
        self.cameras = iter(cameras)
        self.stop = threading.Event()
        self.closed = 0

    def open(self, __: object) -> Script:
        camera = next(self.cameras, None)
        if camera is None:
            self.stop.set()
            raise CameraAway("the script is at its end")
        if isinstance(camera, Exception):
            raise camera
        self.grabs: Iterator[str | Exception] = iter(camera)
        return self

    def grab(self) -> bool:
        found = next(self.grabs, CameraAway("it ended the stream"))
        if isinstance(found, Exception):
            raise found
        return found == FRAME

    def retrieve(self) -> Image:
        return np.zeros((2, 2, 3), np.uint8)

    def close(self) -> None:
        self.closed += 1


class Log:
    def __init__(self) -> None:
        self.said: list[str] = []

    def info(self, event: str, **_: object) -> None:
        self.said.append(event)

    warning = exception = info


class Slots(Slot[Picture]):
    """Remembers all that was put."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[Picture] = []

    def put(self, item: Picture) -> Picture | None:
        self.all.append(item)
        return super().put(item)


class Run:
    """A reader that ran to the end of its script in this thread."""

    def __init__(self, script: Script, pacer: Pacer | None = None) -> None:
        self.slot, self.log, self.registry = Slots(), Log(), CollectorRegistry()
        self.health = Health()
        self.reader = Reader(
            script.open,
            self.slot,
            camera="door",
            pacer=pacer or Pacer(0),
            backoff=Backoff(0.001, 0.001),
            stage=StageMetrics("producer", self.registry),
            metrics=CameraMetrics("door", self.registry),
            health=self.health,
            log=self.log,  # type: ignore[arg-type]
            stop=script.stop,
        )
        self.reader.run()

    def camera(self, name: str) -> float | None:
        return self.registry.get_sample_value(f"cctv_camera_{name}", {"camera": "door"})

    def frames_in(self) -> float | None:
        return self.registry.get_sample_value("cctv_frames_in_total", {"stage": "producer", "camera": "door"})

    def dropped(self, cause: str) -> float | None:
        labels = {"stage": "producer", "camera": "door", "cause": cause}
        return self.registry.get_sample_value("cctv_frames_dropped_total", labels)


class NoneWanted(Pacer):
    """Wants the first frame and no other."""

    def __init__(self) -> None:
        super().__init__(0.01)


def test_numbers_go_on_over_reconnects_without_a_gap() -> None:
    run = Run(Script([FRAME] * 3, [FRAME] * 2))
    assert [picture.number for picture in run.slot.all] == [0, 1, 2, 3, 4]


def test_frames_that_nobody_took_are_counted_as_overtaken() -> None:
    run = Run(Script([FRAME] * 5))
    assert run.dropped("overtaken") == 4
    assert run.slot.take(0) is run.slot.all[-1]


def test_frames_above_the_wanted_rate_are_skipped_and_not_dropped() -> None:
    run = Run(Script([FRAME] * 5), NoneWanted())
    assert (run.camera("frames_read_total"), run.camera("frames_skipped_total"), run.frames_in()) == (5, 4, 1)
    assert run.dropped("overtaken") is None


def test_frames_that_are_not_to_be_had_are_skipped() -> None:
    run = Run(Script([FRAME, PASSED_OVER, PASSED_OVER, FRAME]))
    assert (run.camera("frames_read_total"), run.camera("frames_skipped_total"), run.frames_in()) == (4, 2, 2)


def test_an_outage_is_told_once_and_its_end_once() -> None:
    away = CameraAway("connection refused")
    run = Run(Script([FRAME, away], away, away, away, [away], away, [FRAME, away], away))
    last = "camera is still away"  # at the end of the script
    assert run.log.said == ["camera is up", "camera is away", "camera is back", "camera is away", last]


def test_another_reason_for_an_outage_is_told_once() -> None:
    away, refused = CameraAway("connection refused"), CameraAway("password is wrong")
    run = Run(Script([FRAME, away], away, refused, away, refused))
    assert run.log.said[:-1] == ["camera is up", "camera is away", "camera is still away"]


def test_a_camera_that_is_away_from_the_start_is_told_once() -> None:
    away = CameraAway("connection refused")
    run = Run(Script(away, away, away))
    assert run.log.said[:-1] == ["camera is away"]
    assert run.camera("up") == 0
    assert run.camera("reconnects_total") == 4


def test_a_camera_that_is_away_is_no_hang() -> None:
    run = Run(Script([FRAME], CameraAway("connection refused")))
    assert run.health.hanging() == {}
    assert run.reader.failure is None


def test_what_was_opened_is_closed() -> None:
    script = Script([FRAME], CameraAway("connection refused"), [FRAME])
    Run(script)
    assert script.closed == 2


def test_pictures_that_cannot_be_read_are_counted_and_told_once_each() -> None:
    bad = Unreadable("b.jpg cannot be decoded")
    run = Run(Script([FRAME, bad, FRAME, bad]))
    assert run.dropped("unreadable") == 2
    assert run.log.said.count("picture skipped") == 1
    assert [picture.number for picture in run.slot.all] == [0, 1]


@pytest.mark.parametrize("error", [RuntimeError("a bug"), MemoryError()])
def test_an_error_of_its_own_ends_the_service(error: Exception) -> None:
    script = Script([FRAME, error])
    run = Run(script)
    assert run.reader.failure is error
    assert script.stop.is_set()
