"""Every selected frame of a clip becomes one detection and one picture, whatever happens to the driver."""

from __future__ import annotations

from collections import Counter

import cv2
import numpy as np
from cctv_common.frames import Frame
from confluent_kafka import TopicPartition
from waiting import until

from tests.integration.conftest import MAX_FRAME_BYTES, Kafka
from tests.integration.detection.conftest import EVERY, PATIENCE_S, Chain


def selected(frames: list[Frame]) -> list[str]:
    return sorted(frame.id for frame in frames if frame.frame % EVERY == 0)


def blank(width: int, height: int) -> bytes:
    return cv2.imencode(".jpg", np.zeros((height, width, 3), np.uint8))[1].tobytes()


def test_each_selected_frame_once_among_records_that_are_none(chain: Chain, clip: list[bytes]) -> None:
    chain.start()
    sent = [chain.send("gate", number, jpeg) for number, jpeg in enumerate(clip[:20])]
    good = dict(sent[0].headers())
    for changed in (
        {"camera": b"../../etc"},
        {"frame": b"x"},
        {"frame": b"10\n"},
        {"frame": b"-5"},
        {"frame": b"9" * 40},
        {"frame": None},
        {"camera": b"\xff\xfe"},
        {"width": b"1"},
    ):
        chain.raw(clip[0], list((good | changed).items()))
    chain.raw(clip[0], None)
    chain.raw(clip[0], [("frame", b"0")])
    chain.raw(None, list(good.items()))
    chain.raw(b"no picture", list(good.items()))
    chain.raw(clip[0][:-100], list(good.items()))
    chain.raw(blank(8000, 6000), list(good.items()))
    chain.raw(clip[0] + bytes(MAX_FRAME_BYTES), list(good.items()))
    # None of these is selected, so nobody looks at what it is.
    chain.raw(b"no picture", list((good | {"frame": b"1"}).items()))
    chain.raw(clip[0], list((good | {"camera": b"never"}).items()))
    sent.append(chain.send("gate", 20, blank(1, 1)))
    sent += [chain.send("gate", number, jpeg) for number, jpeg in enumerate(clip[21:30], 21)]
    chain.flush()

    until("detections", lambda: len(chain.documents()) >= 6, PATIENCE_S)
    until("last batch", lambda: chain.service.metric("cctv_detection_records_total") == 47, PATIENCE_S)
    documents, pictures = chain.documents(), chain.pictures()
    assert sorted(document["id"] for document in documents) == selected(sent)
    assert sorted(picture.id for picture in pictures) == selected(sent)
    by_id = {frame.id: frame for frame in sent}
    for picture in pictures:
        assert picture.headers() == by_id[picture.id].headers()
    assert {record.key() for record in chain.records(chain.detections) + chain.records(chain.images)} == {b"gate"}
    man = [document for document in documents if document["width"] > 1]
    assert {("person" in document["classes"], document["face_count"]) for document in man} == {(True, 1)}

    causes = {"bad_header": 8, "missing_header": 2, "not_jpeg": 2, "truncated": 1, "bomb": 1, "too_large": 1}
    counted = {
        cause: chain.service.metric("cctv_frames_dropped_total", stage="detection", cause=cause) for cause in causes
    }
    assert counted == causes
    assert chain.service.metric("cctv_frames_out_total", stage="detection", camera="gate") == 6
    assert chain.service.metric("cctv_detection_lost_records_total") == 0
    assert {line["cause"] for line in chain.service.said("bad record")} == set(causes)
    assert chain.service.ready()

    chain.service.terminate()
    assert chain.service.process is not None and chain.service.process.returncode == 0
    assert not chain.service.said("query failed")


def test_goes_on_after_a_kill(chain: Chain, clip: list[bytes]) -> None:
    chain.service.environment |= {"DETECTION_MAX_RECORDS": "10", "DETECTION_FACE_DETECTOR": "haar"}
    chain.start()
    sent = [chain.send(camera, number, jpeg) for number, jpeg in enumerate(clip) for camera in ("gate", "yard")]
    chain.flush()
    until("first detections", chain.documents, PATIENCE_S)
    chain.service.kill()
    assert len(chain.documents()) < len(selected(sent))
    # As when the whole machine has lost its power.
    newest = max((chain.checkpoint / "offsets").glob("[0-9]*"), key=lambda path: int(path.name))
    newest.write_bytes(b"")
    chain.start()
    found: Counter[str] = Counter()
    until("all detections", lambda: found.update(chain.ids()) or set(found) >= set(selected(sent)), PATIENCE_S)
    assert set(found) == set(selected(sent))
    assert {picture.id for picture in chain.pictures()} == set(found)
    # A frame that was looked at twice was given the same answer, under the same name.
    said = [{key: value for key, value in document.items() if key != "detected_at"} for document in chain.documents()]
    assert all(said.count(document) == sum(document["id"] == d["id"] for d in said) for document in said)
    # The man faces the camera at first.
    assert {document["face_count"] for document in said if document["frame"] <= 25} == {1}
    assert {model["name"] for document in said for model in document["models"]} == {"centernet", "haar"}


def test_counts_what_retention_took(kafka: Kafka, chain: Chain, clip: list[bytes]) -> None:
    chain.start()
    first = [chain.send("gate", number, jpeg) for number, jpeg in enumerate(clip[:6])]
    chain.flush()
    until("detections", lambda: sorted(chain.ids()) == selected(first), PATIENCE_S)
    until("end of the batch", lambda: chain.service.metric("cctv_detection_records_total") == 6, PATIENCE_S)
    chain.service.terminate()
    later = [chain.send("gate", number, jpeg) for number, jpeg in enumerate(clip[6:30], 6)]
    chain.flush()
    (partition,) = {record.partition() for record in chain.records(chain.videocam)}
    place = TopicPartition(chain.videocam, partition, 18)
    for future in kafka.admin.delete_records([place]).values():
        future.result(30)

    chain.start()
    until("later detections", lambda: sorted(chain.ids()) == selected(first + later[12:]), PATIENCE_S)
    until("count", lambda: chain.service.metric("cctv_detection_lost_records_total"), PATIENCE_S)
    assert chain.service.metric("cctv_detection_lost_records_total") == 12
    (line,) = chain.service.said("records lost")
    assert line["records"] == 12
    assert line["offsets"] == {f"{chain.videocam}-{partition}": [6, 30]}
    # It goes on as if nothing had been.
    again = chain.send("gate", 30, clip[30])
    chain.flush()
    until("next detection", lambda: again.id in chain.ids(), PATIENCE_S)
    assert chain.service.metric("cctv_detection_lost_records_total") == 12


def test_outlives_a_broker_that_is_away(kafka: Kafka, chain: Chain, clip: list[bytes]) -> None:
    chain.start()
    first = chain.send("gate", 0, clip[0])
    chain.flush()
    until("detection", lambda: first.id in chain.ids(), PATIENCE_S)
    kafka.kill()
    # Longer than Spark is patient with a broker.
    until("failure of the query", lambda: chain.service.said("query failed"), PATIENCE_S)
    assert chain.service.get("/readyz")[0] == 503
    assert chain.service.get("/healthz")[0] == 200
    kafka.start()
    second = chain.send("gate", 5, clip[5])
    chain.flush()
    until("detection after the outage", lambda: second.id in chain.ids(), PATIENCE_S)
    until("readiness", chain.service.ready, PATIENCE_S)
