"""What the models say can be read on the frame."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import simplejpeg
from cctv_common.frames import Prediction
from cctv_common.jpeg import BadFrame, dimensions
from cctv_common.picture import encode
from cctv_consumer.imprint import SMALLEST_TEXT, decode, imprint, line

ESPRESSO = Prediction("imagenet", "espresso", 0.953)
FAILED = Prediction("imagenet", error="no answer")


def jpeg(width: int, height: int, shade: int = 200, channels: int = 3) -> bytes:
    shape = (height, width, 3) if channels == 3 else (height, width)
    return cv2.imencode(".jpg", np.full(shape, shade, np.uint8))[1].tobytes()


def photo(width: int, height: int) -> np.ndarray:
    noise = np.random.default_rng(1).integers(0, 255, (height, width, 3), np.uint8)
    return cv2.GaussianBlur(noise, (9, 9), 3)


def rows_changed(before: bytes, after: bytes) -> np.ndarray:
    difference = np.abs(decode(before).astype(int) - decode(after).astype(int)).max(axis=(1, 2))
    return np.flatnonzero(difference > 40)


def ink(picture: np.ndarray) -> np.ndarray:
    """Where letters are: bright on the dimmed strip."""
    return picture.max(axis=2) > 140


@pytest.mark.parametrize(
    ("width", "height"), [(64, 64), (176, 144), (640, 272), (641, 479), (1280, 720), (1920, 1080), (64, 1080)]
)
def test_a_strip_at_the_bottom_of_any_frame_shows_the_label(width: int, height: int) -> None:
    before = jpeg(width, height)
    after = imprint(before, [ESPRESSO], 90)
    assert dimensions(after) == (width, height)
    rows = rows_changed(before, after)
    assert rows[-1] == height - 1
    assert rows[0] >= height - max(round(SMALLEST_TEXT * 1.5), height * 0.12)
    strip = decode(after)[rows[0] :]
    assert np.median(strip) < 80  # dark enough for white letters
    columns = np.flatnonzero(ink(strip).any(axis=0))
    rows_of_ink = np.flatnonzero(ink(strip).any(axis=1))
    assert len(rows_of_ink) >= SMALLEST_TEXT * 0.6  # letters that can be read
    assert columns[-1] < width - 1  # and that end before the frame does


def test_different_labels_look_different() -> None:
    before = jpeg(320, 240)
    pictures = {
        imprint(before, [Prediction("imagenet", label, chance)], 90)
        for label, chance in (("espresso", 0.95), ("daisy", 0.95), ("espresso", 0.31))
    }
    assert len(pictures) == 3


def test_a_longer_label_takes_more_room_and_one_too_long_is_cut_before_its_probability() -> None:
    def width_of_ink(label: str) -> int:
        after = decode(imprint(jpeg(160, 160, 0), [Prediction("imagenet", label, 0.5)], 95))
        return int(np.flatnonzero(ink(after).any(axis=0))[-1])

    assert width_of_ink("daisy") < width_of_ink("daisy daisy")
    assert width_of_ink("daisy " * 40) < 160


def test_a_frame_without_an_answer_is_marked() -> None:
    before = jpeg(320, 240)
    after = decode(imprint(before, [FAILED], 90)).astype(int)
    predicted = decode(imprint(before, [ESPRESSO], 90)).astype(int)
    blue, red = after[-12:, :3, 0].mean(), after[-12:, :3, 2].mean()
    assert red > blue + 60  # a red bar at the strip's beginning
    assert abs(predicted[-12:, :3, 0].mean() - predicted[-12:, :3, 2].mean()) < 20
    assert line(FAILED) == "imagenet: no answer"


def test_several_models_have_a_line_each() -> None:
    before = jpeg(320, 240)
    one, two = (
        len(rows_changed(before, imprint(before, [ESPRESSO, *more], 90)))
        for more in ([], [Prediction("faces", "1", 1)])
    )
    assert two == pytest.approx(2 * one, abs=2)


def test_more_models_than_a_small_frame_has_room_for_do_no_harm() -> None:
    assert dimensions(imprint(jpeg(64, 64), [ESPRESSO] * 20, 80)) == (64, 64)


def test_the_rest_of_the_picture_stays_as_it_was() -> None:
    before = cv2.imencode(".jpg", photo(320, 240), [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    after = imprint(before, [ESPRESSO], 95)
    difference = np.abs(decode(before)[:200].astype(int) - decode(after)[:200].astype(int))
    assert difference.mean() < 2


@pytest.mark.parametrize(("width", "height"), [(640, 272), (641, 479), (64, 64), (33, 17), (20, 8), (1920, 1080)])
def test_a_producers_frame_keeps_every_pixel_above_the_strip(width: int, height: int) -> None:
    before = encode(photo(width, height), 80)
    after = decode(imprint(before, [ESPRESSO], 80))
    from_afar = cv2.imencode(".jpg", decode(before), [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    strip = rows_changed(before, imprint(from_afar, [ESPRESSO], 80))
    assert set(strip) <= set(rows_changed(before, encode(after, 100)))
    untouched = max(0, strip[0] // 16 * 16 - 1)  # colours reach one row into the next block when decoded
    assert (after[:untouched] == decode(before)[:untouched]).all()


def test_a_producers_frame_of_another_quality_is_encoded_as_asked() -> None:
    before = encode(photo(640, 272), 95)
    after = imprint(before, [ESPRESSO], 50)
    assert len(after) < len(before) / 2
    assert rows_changed(before, imprint(before, [ESPRESSO], 95))[-1] == 271


@pytest.mark.parametrize("row", [0, 8, 16])
def test_a_producers_frame_that_lost_a_row_is_shown_as_far_as_it_goes(row: int) -> None:
    before = encode(photo(640, 272), 80)
    marks = [at for at in range(len(before) - 1) if before[at] == 0xFF and 0xD0 <= before[at + 1] <= 0xD7]
    bounds = [before.index(b"\xff\xda") + 14, *(mark + 2 for mark in marks), len(before) - 2]
    lost = before[: bounds[row]] + before[bounds[row + 1] :]
    assert rows_changed(before, imprint(lost, [ESPRESSO], 80))[-1] == 271


def test_grey_and_rotated_pictures_keep_their_size() -> None:
    assert dimensions(imprint(jpeg(100, 80, channels=1), [ESPRESSO], 80)) == (100, 80)
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    plain = jpeg(100, 80)
    turned = plain[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + plain[2:]
    assert dimensions(imprint(turned, [ESPRESSO], 80)) == (100, 80)


def test_pixels_that_cannot_be_decoded_are_a_bad_frame() -> None:
    good = jpeg(64, 64)
    start = good.index(b"\xff\xc0")
    for bad in (good[:start] + b"\xff\xd9", good[: start + 5] + b"\xff\xd9", b"\xff\xd8\xff\xd9", b""):
        with pytest.raises(BadFrame) as caught:
            imprint(bad, [ESPRESSO], 80)
        assert caught.value.cause == "not_jpeg"


def test_a_picture_that_ends_early_shows_what_is_there() -> None:
    whole = jpeg(160, 160, 200)
    after = decode(imprint(whole[: len(whole) * 2 // 3] + b"\xff\xd9", [], 90))
    assert after.shape == (160, 160, 3)


def test_a_picture_for_printers() -> None:
    # Four inks, told inverted, as printing programs do: cyan is what a screen lacks of red.
    inks = np.full((32, 32, 4), 255, np.uint8)
    inks[..., 0] = 0
    blue, green, red = decode(simplejpeg.encode_jpeg(inks, 95, "CMYK")).mean(axis=(0, 1))
    assert red < 60 < 190 < min(blue, green)
