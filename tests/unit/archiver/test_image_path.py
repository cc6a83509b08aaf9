"""One path for each frame, and none that leads out of the store."""

import pytest
from cctv_common.images import LATEST_MS, image_path

AT = 1_780_310_096_789  # 2026-06-01T10:34:56.789Z


def test_a_picture_is_found_by_camera_day_and_hour_in_utc():
    assert image_path("gate", 1_780_000_000_000, 17, AT) == "gate/2026-06-01/10/gate-1780000000000-17.jpg"


@pytest.mark.parametrize(
    ("captured_at", "folder"),
    [
        (AT - AT % 86_400_000 - 1, "gate/2026-05-31/23/"),
        (AT - AT % 86_400_000, "gate/2026-06-01/00/"),
        (0, "gate/1970-01-01/00/"),
        (LATEST_MS, "gate/9999-12-31/23/"),
    ],
)
def test_a_day_begins_at_midnight_utc(captured_at, folder, monkeypatch):
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    assert image_path("gate", 1, 2, captured_at).startswith(folder)


@pytest.mark.parametrize(
    "camera",
    ["", ".", "..", "../../etc", "/etc", "a/b", "a\\b", "a\0", "gate\n", "-gate", "gate-", "Gate", "a" * 41, "gäte"],
)
def test_a_hostile_camera_never_leaves_the_store(camera):
    with pytest.raises(ValueError, match="is no camera id"):
        image_path(camera, 1, 2, AT)


@pytest.mark.parametrize(
    "numbers", [(-1, 2, AT), (1, -2, AT), (1, 2, -1), (1, 2, LATEST_MS + 1), (1, 2, 999_999_999_999_999_999)]
)
def test_numbers_that_are_no_frames_have_no_path(numbers):
    with pytest.raises(ValueError, match=r"expected"):
        image_path("gate", *numbers)
