"""What the models say of photos; the boxes that are expected were drawn by eye."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from cctv_common.picture import Picture
from cctv_detection import detectors
from cctv_detection.detection import Box, Detection
from cctv_detection.detectors import CannotLoad, Detector, models
from cctv_detection.detectors.overlap import groups

Photo = Callable[[str], Picture]


def overlap(found: Box, expected: Box) -> float:
    left, top = max(found.x, expected.x), max(found.y, expected.y)
    right = min(found.x + found.width, expected.x + expected.width)
    bottom = min(found.y + found.height, expected.y + expected.height)
    shared = max(right - left, 0) * max(bottom - top, 0)
    return shared / (found.width * found.height + expected.width * expected.height - shared)


def assert_found(found: list[Detection], expected: list[tuple[str, Box]], shared: float = 0.7) -> None:
    assert sorted(d.label for d in found) == sorted(label for label, __ in expected)
    for label, box in expected:
        assert max(overlap(d.box, box) for d in found if d.label == label) > shared, (label, box, found)


class TestObjects:
    def test_bus_and_people(self, centernet: Detector, photo: Photo) -> None:
        found = centernet.detect(photo("bus.jpg"))
        assert_found(
            found,
            [
                ("bus", Box(10, 230, 795, 520)),
                ("person", Box(48, 398, 195, 505)),
                ("person", Box(222, 405, 123, 455)),
                ("person", Box(670, 380, 140, 495)),
            ],
        )
        assert (found[0].label, found[0].score) == ("person", pytest.approx(0.76, abs=0.02))
        assert [d.score for d in found] == sorted((d.score for d in found), reverse=True)

    def test_astronaut_is_a_person(self, centernet: Detector, photo: Photo) -> None:
        assert_found(centernet.detect(photo("astronaut.png")), [("person", Box(5, 5, 370, 507))])

    def test_boxes_follow_the_picture_to_any_size_and_shape(self, centernet: Detector, photo: Photo) -> None:
        bus = cv2.resize(photo("bus.jpg"), (1620, 1080))
        assert_found(
            [d for d in centernet.detect(bus) if d.label == "bus"],
            [("bus", Box(20, 230, 1590, 520))],
        )

    def test_the_least_score_is_a_choice(self, folder: Path, photo: Photo) -> None:
        picture = photo("bus.jpg")
        sure, unsure = (detectors.load("centernet", folder, min_score=score) for score in (0.7, 0.1))
        assert sure and [d.label for d in sure.detect(picture)] == ["person"]
        assert unsure and len(unsure.detect(picture)) > 4

    @pytest.mark.parametrize(("name", "most"), [("centernet", 100), ("blazeface", 48 * 48)])
    def test_no_score_and_every_score_are_choices(self, folder: Path, photo: Photo, name: str, most: int) -> None:
        picture = photo("astronaut.png")
        none, every = (detectors.load(name, folder, min_score=score) for score in (1, 0))
        assert none and none.detect(picture) == []
        assert every and 10 < len(every.detect(picture)) <= most

    def test_threads_change_nothing(self, folder: Path, centernet: Detector, photo: Photo) -> None:
        threaded = detectors.load("centernet", folder, threads=2)
        assert threaded and [(d.label, d.box) for d in threaded.detect(photo("bus.jpg"))] == [
            (d.label, d.box) for d in centernet.detect(photo("bus.jpg"))
        ]


class TestFaces:
    @pytest.mark.parametrize(("name", "least"), [("blazeface", 0.9), ("haar", 0.85)])
    def test_the_astronaut_has_one(self, request: pytest.FixtureRequest, photo: Photo, name: str, least: float) -> None:
        found = request.getfixturevalue(name).detect(photo("astronaut.png"))
        assert_found(found, [("face", Box(172, 68, 105, 110))])
        assert found[0].score > least

    @pytest.mark.parametrize(
        ("name", "shared"),
        [("blazeface", 0.7), ("haar", 0.5)],  # the cascade's windows are squares with more of the head
    )
    def test_faces_of_people_at_the_bus(
        self, request: pytest.FixtureRequest, photo: Photo, name: str, shared: float
    ) -> None:
        found = request.getfixturevalue(name).detect(photo("bus.jpg"))
        assert_found(found, [("face", Box(108, 415, 52, 52)), ("face", Box(268, 416, 48, 48))], shared)
        assert found[0].score > found[1].score

    @pytest.mark.parametrize("detector", ["blazeface", "haar"])
    @pytest.mark.parametrize("name", ["coffee.png", "rocket.jpg", "chelsea.png"])
    def test_where_no_people_are_there_are_none(
        self, request: pytest.FixtureRequest, photo: Photo, detector: str, name: str
    ) -> None:
        assert request.getfixturevalue(detector).detect(photo(name)) == []

    def test_haar_finds_faces_that_are_small_in_a_picture(self, haar: Detector, photo: Photo) -> None:
        picture = np.full((720, 1280, 3), 90, np.uint8)
        picture[100:300, 900:1100] = cv2.resize(photo("astronaut.png"), (200, 200), interpolation=cv2.INTER_AREA)
        assert_found(haar.detect(picture), [("face", Box(967, 127, 41, 43))], 0.6)

    def test_haars_score_is_how_many_windows_agree(self, folder: Path, photo: Photo) -> None:
        picture = photo("bus.jpg")
        found = {
            score: detector.detect(picture)
            for score in (0, 0.5, 0.72, 1)
            if (detector := detectors.load("haar", folder, min_score=score))
        }
        assert len(found[0]) > len(found[0.5]) == 2 > len(found[0.72]) == 1
        assert found[1] == []
        windows = [d.score * 4 / (1 - d.score) for d in found[0]]
        assert windows == pytest.approx([round(n) for n in windows])
        assert min(windows) > 1.9


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (480, 640)])
@pytest.mark.parametrize("value", [0, 255])
def test_nothing_is_found_in_nothing(
    centernet: Detector, blazeface: Detector, haar: Detector, size: tuple[int, int], value: int
) -> None:
    picture = np.full((*size, 3), value, np.uint8)
    assert centernet.detect(picture) == []
    assert blazeface.detect(picture) == []
    assert haar.detect(picture) == []


def test_boxes_of_unsure_detections_stay_inside(folder: Path, photo: Photo) -> None:
    picture = photo("astronaut.png")[:300, 100:333]  # the person goes beyond every side
    height, width = picture.shape[:2]
    for name in ("centernet", "blazeface"):
        detector = detectors.load(name, folder, min_score=0.02)
        found = detector.detect(picture) if detector else []
        assert len(found) > 1
        for box in (d.box for d in found):
            assert box.x >= 0 and box.width >= 1 and box.x + box.width <= width
            assert box.y >= 0 and box.height >= 1 and box.y + box.height <= height


class TestLoading:
    def test_none_is_a_choice(self, tmp_path: Path) -> None:
        assert detectors.load("none", tmp_path) is None

    def test_unknown_names_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="no detector 'yolo', only centernet, blazeface, haar, none"):
            detectors.load("yolo", tmp_path)

    @pytest.mark.parametrize("name", ["centernet", "blazeface", "haar"])
    def test_missing_models_are_said_with_what_makes_them(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(CannotLoad, match=f"is not there; expected: what `cctv-build-detectors {tmp_path}` writes"):
            detectors.load(name, tmp_path)

    @pytest.mark.parametrize(
        ("name", "file"),
        [("centernet", models.CENTERNET), ("blazeface", models.BLAZEFACE), ("haar", models.HAAR)],
    )
    def test_broken_models_are_refused(self, tmp_path: Path, folder: Path, name: str, file: str) -> None:
        (tmp_path / models.VERSION).mkdir()
        broken = tmp_path / models.VERSION / file
        broken.write_bytes((folder / models.VERSION / file).read_bytes()[:5000])
        with pytest.raises(CannotLoad, match=str(broken)) as said:
            detectors.load(name, tmp_path)
        assert "\n" not in str(said.value)

    @pytest.mark.parametrize(
        ("name", "wanted", "other"),
        [
            ("centernet", models.CENTERNET, models.BLAZEFACE),
            ("blazeface", models.BLAZEFACE, models.CENTERNET),
            ("haar", models.HAAR, models.BLAZEFACE),
        ],
    )
    def test_other_models_are_refused(self, tmp_path: Path, folder: Path, name: str, wanted: str, other: str) -> None:
        (tmp_path / models.VERSION).mkdir()
        (tmp_path / models.VERSION / wanted).write_bytes((folder / models.VERSION / other).read_bytes())
        with pytest.raises(CannotLoad):
            detectors.load(name, tmp_path)


class TestOverlap:
    def test_boxes_are_with_the_surest_that_they_overlap(self) -> None:
        boxes = np.array([[0, 0, 10, 10], [50, 50, 60, 60], [1, 1, 11, 11], [0, 0, 4, 4]], np.float32)
        found = groups(boxes, np.array([0.5, 0.6, 0.9, 0.1], np.float32), 0.45)
        assert [group.tolist() for group in found] == [[2, 0], [1], [3]]

    def test_empty_boxes_end_it(self) -> None:
        assert [g.tolist() for g in groups(np.zeros((2, 4), np.float32), np.ones(2, np.float32), 0.5)] == [[0], [1]]
        assert groups(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), 0.5) == []
