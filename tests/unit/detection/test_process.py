"""From frames to documents and pictures, with the true detectors."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest
from cctv_common.frames import Frame
from cctv_common.images import LATEST_MS
from cctv_common.jpeg import BadFrame
from cctv_common.picture import Picture, decode, encode
from cctv_detection import document, draw
from cctv_detection.detection import Box, Detection
from cctv_detection.detectors import Detector
from cctv_detection.detectors.labels import COCO
from cctv_detection.process import FrameDetector
from cctv_detection.select import Camera, Cameras
from pydantic import ValidationError

Photo = Callable[[str], Picture]

CAPTURED_AT = 1_790_000_000_123  # 2026-09-21T14:13:20.123Z
SCHEMA = jsonschema.Draft202012Validator(document.schema(), format_checker=jsonschema.FormatChecker())


def framed(picture: Picture, camera: str = "gate", captured_at: int = CAPTURED_AT) -> Frame:
    height, width = picture.shape[:2]
    return Frame(camera, 1_700_000_000_000, 10, captured_at, width, height, encode(picture, 90))


@pytest.fixture
def look(centernet: Detector, blazeface: Detector) -> FrameDetector:
    cameras = Cameras(Camera(every=1), {"door": Camera(every=1, blur_faces=True)})
    return FrameDetector(centernet, blazeface, cameras, clock=lambda: 1_790_000_001.5)


def said(look: FrameDetector, frame: Frame) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(look.process(frame).document)
    SCHEMA.validate(found)
    return found


class TestDocuments:
    def test_all_of_one(self, look: FrameDetector, photo: Photo) -> None:
        found = said(look, framed(photo("astronaut.png")))
        (person,), (face,) = found.pop("objects"), found.pop("faces")
        assert person["class"] == "person" and 0.4 < person["score"] < 1
        assert person["box"]["height"] > 450
        assert set(face) == {"score", "box"}
        assert found == {
            "id": "gate-1700000000000-10",
            "@timestamp": "2026-09-21T14:13:20.123Z",
            "camera": "gate",
            "epoch": 1_700_000_000_000,
            "frame": 10,
            "captured_at": CAPTURED_AT,
            "detected_at": 1_790_000_001_500,
            "width": 512,
            "height": 512,
            "classes": ["person"],
            "object_count": 1,
            "face_count": 1,
            "models": [
                {"task": "objects", "name": "centernet", "version": "3.0.4"},
                {"task": "faces", "name": "blazeface", "version": "0.6.0"},
            ],
            "faces_blurred": False,
            "image": "gate/2026-09-21/14/gate-1700000000000-10.jpg",
        }

    def test_classes_are_each_there_once(self, look: FrameDetector, photo: Photo) -> None:
        found = said(look, framed(photo("bus.jpg")))
        assert found["classes"] == ["bus", "person"]
        assert (found["object_count"], len(found["objects"])) == (4, 4)

    def test_a_frame_has_the_same_document_again(self, look: FrameDetector, photo: Photo) -> None:
        frame = framed(photo("bus.jpg"))
        assert look.process(frame) == look.process(frame)

    def test_without_faces(self, centernet: Detector, photo: Photo) -> None:
        look = FrameDetector(centernet, None, Cameras(Camera(every=1)))
        found = said(look, framed(photo("astronaut.png")))
        assert (found["faces"], [model["task"] for model in found["models"]]) == ([], ["objects"])

    def test_order_does_not_hang_on_the_detector(self) -> None:
        found = [Detection("dog", 0.5, Box(x, 0, 1, 1)) for x in (3, 1)] + [Detection("cat", 0.9, Box(0, 0, 1, 1))]
        frame = framed(np.zeros((2, 4, 3), np.uint8))
        one, other = (
            document.build(frame, order, (), (), faces_blurred=False, detected_at=0) for order in (found, found[::-1])
        )
        assert one == other
        assert [(o["class"], o["box"]["x"]) for o in one["objects"]] == [("cat", 0), ("dog", 1), ("dog", 3)]

    def test_the_schema_knows_the_classes_and_nothing_more(self, look: FrameDetector, photo: Photo) -> None:
        assert tuple(document.schema()["$defs"]["class"]["enum"]) == COCO
        SCHEMA.check_schema(document.schema())
        found = json.loads(look.process(framed(photo("astronaut.png"))).document)
        for change in (
            {"more": 1},
            {"camera": "../../etc"},
            {"@timestamp": "2026-09-21"},
            {"image": "/etc/passwd"},
            {"classes": ["person", "person"]},
            {"objects": [{"class": "unicorn", "score": 0.5, "box": {"x": 0, "y": 0, "width": 1, "height": 1}}]},
            {"faces": [{"score": 1.5, "box": {"x": 0, "y": 0, "width": 1, "height": 1}}]},
            {"faces": [{"score": 0.5, "box": {"x": -1, "y": 0, "width": 1, "height": 0}}]},
        ):
            assert not SCHEMA.is_valid(found | change), change
        for missing in found:
            assert not SCHEMA.is_valid({key: value for key, value in found.items() if key != missing}), missing


class TestFrames:
    def test_one_pixel_is_a_frame(self, look: FrameDetector) -> None:
        frame = framed(np.full((1, 1, 3), 128, np.uint8), camera="door")
        assert said(look, frame)["object_count"] == 0
        assert decode(look.process(frame).jpeg).shape == (1, 1, 3)

    def test_a_bomb_is_refused(self, look: FrameDetector) -> None:
        jpeg = cv2.imencode(".jpg", np.zeros((6000, 8000), np.uint8))[1].tobytes()
        with pytest.raises(BadFrame, match="8000x6000") as refused:
            look.process(Frame("gate", 1, 1, CAPTURED_AT, 8000, 6000, jpeg))
        assert refused.value.cause == "bomb"

    @pytest.mark.parametrize(
        ("change", "cause"),
        [
            (lambda jpeg: jpeg[: len(jpeg) // 2], "truncated"),
            (lambda jpeg: b"GIF89a" + jpeg, "not_jpeg"),
            (lambda jpeg: b"", "not_jpeg"),
        ],
    )
    def test_what_is_no_jpeg_is_refused(
        self, look: FrameDetector, photo: Photo, change: Callable[[bytes], bytes], cause: str
    ) -> None:
        jpeg = change(encode(photo("astronaut.png"), 90))
        with pytest.raises(BadFrame) as refused:
            look.process(Frame("gate", 1, 1, CAPTURED_AT, 512, 512, jpeg))
        assert refused.value.cause == cause

    def test_headers_must_be_the_pictures(self, look: FrameDetector, photo: Photo) -> None:
        jpeg = encode(photo("astronaut.png"), 90)
        with pytest.raises(BadFrame) as refused:
            look.process(Frame("gate", 1, 1, CAPTURED_AT, 512, 511, jpeg))
        assert refused.value.cause == "bad_header"

    @pytest.mark.parametrize(("camera", "captured_at"), [("../../etc", CAPTURED_AT), ("gate", LATEST_MS + 1)])
    def test_what_has_no_place_in_the_store_is_refused(
        self, look: FrameDetector, camera: str, captured_at: int
    ) -> None:
        with pytest.raises(BadFrame) as refused:
            look.process(framed(np.zeros((8, 8, 3), np.uint8), camera, captured_at))
        assert refused.value.cause == "bad_header"

    def test_grey_pictures_are_frames(self, look: FrameDetector, photo: Photo) -> None:
        grey = cv2.cvtColor(photo("astronaut.png"), cv2.COLOR_BGR2GRAY)
        jpeg = cv2.imencode(".jpg", grey)[1].tobytes()
        found = said(look, Frame("gate", 1, 1, CAPTURED_AT, 512, 512, jpeg))
        assert found["classes"] == ["person"]


class TestPictures:
    def test_boxes_are_drawn_where_things_are(self, look: FrameDetector, photo: Photo) -> None:
        picture = photo("astronaut.png")
        drawn = decode(look.process(framed(picture)).jpeg)
        assert drawn.shape == picture.shape
        changed = np.abs(drawn.astype(int) - picture).max(axis=2) > 80
        assert changed[:, 364:374].any()  # the person's right side ...
        assert not changed[:, 400:].any()  # ... beyond which nothing is
        assert not changed[100:160, 190:260].any()  # the face can be seen

    def test_a_blurred_face_is_not_found_again(self, look: FrameDetector, blazeface: Detector, photo: Photo) -> None:
        picture = photo("astronaut.png")
        result = look.process(framed(picture, camera="door"))
        assert json.loads(result.document)["faces_blurred"] is True
        assert json.loads(result.document)["face_count"] == 1
        assert blazeface.detect(decode(result.jpeg)) == []
        assert len(blazeface.detect(decode(look.process(framed(picture)).jpeg))) == 1

    def test_what_was_in_a_blurred_face_cannot_be_known(self) -> None:
        """Two faces that have only their mean colours in common are the same afterwards."""
        rng = np.random.default_rng(1)
        one = rng.integers(0, 128, (160, 160, 3), np.uint8) * 2
        tiles = one.reshape(4, 40, 4, 40, 3)
        other = tiles[:, ::-1, :, ::-1].reshape(one.shape).copy()
        assert (one != other).any()
        for picture in (one, other):
            draw.blur(picture, [Box(0, 0, 160, 160)])
        assert (one == other).all()

    @pytest.mark.parametrize("side", [1, 2, 5, 11])
    def test_little_faces_keep_one_colour(self, side: int) -> None:
        picture = np.random.default_rng(1).integers(0, 255, (40, 40, 3), np.uint8)
        draw.blur(picture, [Box(20, 20, side, side)])
        assert len(np.unique(picture[20 : 20 + side, 20 : 20 + side].reshape(-1, 3), axis=0)) == 1

    def test_faces_beyond_the_edge_and_labels_at_the_edge_are_drawn(self) -> None:
        picture = np.zeros((60, 80, 3), np.uint8)
        corners = [Box(0, 0, 8, 8), Box(72, 52, 8, 8), Box(0, 0, 80, 60)]
        draw.blur(picture, corners)
        draw.boxes(picture, [Detection("person", 0.5, box) for box in corners], [Detection("face", 0.5, corners[0])])
        assert picture[0, 79].any() and picture[59, 0].any() and picture[59, 79].any()

    def test_to_blur_without_a_detector_of_faces_is_refused(self, centernet: Detector) -> None:
        with pytest.raises(ValueError, match="no face detector"):
            FrameDetector(centernet, None, Cameras(Camera(every=1), {"door": Camera(every=1, blur_faces=True)}))


class TestSelection:
    def test_every_so_manyth_frame(self) -> None:
        cameras = Cameras(Camera(every=12), {"gate": Camera(every=5), "off": Camera(every=0)})
        assert [n for n in range(25) if cameras.selected("gate", n)] == [0, 5, 10, 15, 20]
        assert [n for n in range(25) if cameras.selected("other", n)] == [0, 12, 24]
        assert not any(cameras.selected("off", n) for n in range(25))

    @pytest.mark.parametrize("wrong", [{"every": -1}, {}, {"every": 1, "blur": True}, {"every": 0.5}])
    def test_wrong_settings_are_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            Camera.model_validate(wrong)
