"""Image operations on small pictures whose every pixel is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from cctv_common.jpeg import dimensions
from cctv_common.picture import encode
from cctv_producer.image import Box, Image, Operations, parse_box


def gradient(height: int = 4, width: int = 6) -> Image:
    """Every pixel differs: 1 + its number, in all channels; none is black."""
    numbers = np.arange(1, height * width + 1, dtype=np.uint8).reshape(height, width)
    return np.repeat(numbers[:, :, np.newaxis], 3, axis=2)


def test_nothing_to_do_changes_nothing() -> None:
    assert (Operations().apply(gradient()) == gradient()).all()


def test_mask_hides_every_pixel_that_it_touches_and_no_other() -> None:
    # From the middle of the second column to the middle of the third.
    result = Operations(masks=(Box(1.5 / 6, 0.25, 1 / 6, 0.5),)).apply(gradient())
    expected = gradient()
    expected[1:3, 1:3] = 0
    assert (result == expected).all()


def test_mask_covers_the_same_part_at_any_resolution() -> None:
    masks = (Box(0.5, 0.5, 0.5, 0.5),)
    for height, width in ((4, 6), (72, 128), (271, 641)):
        result = Operations(masks=masks).apply(np.full((height, width, 3), 200, np.uint8))
        assert (result[height // 2 :, width // 2 :] == 0).all()
        assert (result[: height // 2, :] == 200).all() and (result[:, : width // 2] == 200).all()


def test_masks_are_meant_in_the_cameras_picture_whatever_follows() -> None:
    image = np.full((40, 60, 3), 255, np.uint8)
    done = Operations(masks=(Box(0, 0, 0.5, 1),), crop=Box(0, 0, 0.5, 1), rotate=90, width=20, grayscale=True).apply(
        image
    )
    assert done.shape == (15, 20) and (done == 0).all()


def test_masked_pixels_do_not_show_through_jpeg() -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 255, (64, 64, 3), np.uint8)
    other = rng.integers(0, 255, (64, 64, 3), np.uint8)
    hide = Operations(masks=(Box(0, 0, 1, 1),))
    assert encode(hide.apply(image), 95) == encode(hide.apply(other), 95)


def test_crop_takes_the_named_part() -> None:
    assert (Operations(crop=Box(0.5, 0.25, 0.5, 0.5)).apply(gradient()) == gradient()[1:3, 3:6]).all()


def test_tiny_crop_still_has_a_pixel() -> None:
    assert Operations(crop=Box(0.999, 0.999, 0.001, 0.001)).apply(gradient()).shape == (1, 1, 3)


@pytest.mark.parametrize(("degrees", "turns"), [(0, 0), (90, -1), (180, 2), (270, 1)])
def test_rotation_is_clockwise(degrees: int, turns: int) -> None:
    assert (Operations(rotate=degrees).apply(gradient()) == np.rot90(gradient(), turns)).all()


def test_width_shrinks_and_keeps_the_proportions() -> None:
    assert Operations(width=320).apply(np.zeros((272, 640, 3), np.uint8)).shape == (136, 320, 3)


def test_width_never_enlarges() -> None:
    assert Operations(width=640).apply(gradient()).shape == (4, 6, 3)


def test_width_is_that_of_the_turned_picture() -> None:
    assert Operations(rotate=90, width=136).apply(np.zeros((272, 640, 3), np.uint8)).shape == (320, 136, 3)


def test_gray_pictures_are_jpegs_of_one_channel() -> None:
    jpeg = encode(Operations(grayscale=True).apply(gradient(16, 16)), 90)
    assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_UNCHANGED).shape == (16, 16)


def test_encoded_picture_is_a_jpeg_of_its_size() -> None:
    assert dimensions(encode(gradient(48, 64), 85)) == (64, 48)


@pytest.mark.parametrize("text", ["0,0,1,1", "0.7, 0, 0.3, 1", " .25,.25,.5,.5 "])
def test_boxes_within_the_picture_are_read(text: str) -> None:
    assert parse_box(text) == tuple(float(part) for part in text.split(","))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1,2,3", "four numbers"),
        ("a,0,1,1", "four numbers"),
        ("0,0,1,1,1", "four numbers"),
        ("0,0,640,480", "fractions"),
        ("-0.1,0,1,1", "fractions"),
        ("nan,0,1,1", "fractions"),
        ("0,0,0,1", "empty"),
        ("0.5,0,0.6,1", "beyond"),
    ],
)
def test_other_boxes_are_refused_with_the_reason(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_box(text)
