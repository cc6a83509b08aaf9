"""What people see, in a real browser, of what the real Elasticsearch has."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser.chromium import DESKTOP, PHONE, chromium_page, complaints, overflow
from integration.ui.helpers import NINE, Site
from playwright.async_api import Page, expect
from stores import MountedStore
from user import OUTPUT

MakeSite = Callable[..., Site]
SOON_MS = 30_000
MINUTE = 60_000
SHOWN = "[...document.querySelectorAll('.card')].map(card => card.id.slice(6))"
# Whether a picture is there and no placeholder.
PICTURES = """() => [...document.querySelectorAll('.card img, figure img')]
    .filter(image => image.getBoundingClientRect().top < innerHeight)
    .every(image => image.complete && image.naturalWidth > 100)"""


def now() -> int:
    return int(time.time() * 1000)


async def shows(page: Page, *frames: str) -> None:
    """Wait until the page shows these frames and no other, in this order."""
    await page.wait_for_function(f"ids => JSON.stringify({SHOWN}) === JSON.stringify(ids)", arg=list(frames))


async def shows_frame(page: Page, frame: str) -> None:
    """Wait until the page of this frame is there and, as its script has run, hears keys."""
    await expect(page.locator("dd").first).to_have_text(frame)
    await page.wait_for_load_state("domcontentloaded")


@pytest.fixture
def scene(site: Site) -> dict[str, str]:
    """Frames of three cameras at nine in the morning of a summer's day: name -> id, the newest first."""
    frames = {
        "later": ("gate", NINE + 90 * MINUTE, "astronaut"),
        "driver": ("gate", NINE + 12 * MINUTE, "driver"),
        "astronaut": ("desk", NINE + 10 * MINUTE, "astronaut"),
        "coffee": ("desk", NINE + 8 * MINUTE, "coffee"),
        "cyclist": ("gate", NINE + 6 * MINUTE, "cyclist"),
        "street": ("gate", NINE + 4 * MINUTE, "street"),
        "motorcycle": ("garage", NINE + 2 * MINUTE, "motorcycle"),
        "rocket": ("garage", NINE, "rocket"),
        "early": ("gate", NINE - 1, "driver"),
    }
    made = {name: site.recorder.frame(*frame) for name, frame in frames.items()}
    site.recorder.publish(*made.values())
    return {name: said["id"] for name, said in made.items()}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", "later driver astronaut coffee cyclist street motorcycle rocket early"),
        ("camera=garage", "motorcycle rocket"),
        ("camera=nowhere", ""),
        ("class=person", "later driver astronaut cyclist early"),
        ("class=cup&class=dining+table", "coffee"),
        ("class=cup&class=person", ""),
        ("face=1", "later driver astronaut early"),
        ("class=person&score=0.6", "later astronaut"),
        ("score=0.6", "later astronaut"),
        ("from=2026-06-01T09:00:00Z&to=2026-06-01T09:04:00Z", "street motorcycle rocket"),
        ("camera=gate&class=person&face=1&from=2026-06-01T09:00:00Z", "later driver"),
        ("camera=gate&class=person&face=1&from=2026-06-01T09:00:00Z&to=2026-06-01T10:00:00Z", "driver"),
    ],
)
async def test_a_link_shows_what_is_there_and_nothing_else(
    site: Site, scene: dict[str, str], query: str, found: str
) -> None:
    async with chromium_page(f"{site.url}/?{query}") as page:
        await shows(page, *(scene[name] for name in found.split()))
        if not found:
            await expect(page.get_by_text("No frame is like this")).to_be_visible()
        assert complaints(page) == []


async def test_a_search_is_made_with_the_form_and_its_link_can_be_shared(site: Site, scene: dict[str, str]) -> None:
    """The question that the page is for: every frame of the camera since nine with a person and a face."""
    async with chromium_page(site.url, timezone_id="Europe/Berlin") as page:
        await page.get_by_label("Camera").select_option("gate")
        await page.get_by_role("checkbox", name="person").check()
        await page.get_by_role("checkbox", name="a face").check()
        # Nine in UTC, by a clock in Berlin.
        await page.get_by_label("From", exact=True).fill("2026-06-01T11:00:00")
        await page.get_by_role("button", name="Search").click()
        await shows(page, scene["later"], scene["driver"])
        link = page.url
        assert link == f"{site.url}/?camera=gate&from=2026-06-01T09:00:00Z&face=1&class=person"
        await expect(page).to_have_title("gate, person, face – Detections")
        await expect(page.locator(".card time").first).to_have_text("1 Jun 2026, 12:30:00")
        await page.wait_for_function(PICTURES)
        assert complaints(page) == []
    async with chromium_page(link, timezone_id="Asia/Tokyo") as page:
        await shows(page, scene["later"], scene["driver"])
        await expect(page.get_by_label("Camera")).to_have_value("gate")
        await expect(page.get_by_role("checkbox", name="person")).to_be_checked()
        await expect(page.get_by_role("checkbox", name="a face")).to_be_checked()
        await expect(page.get_by_label("From", exact=True)).to_have_value("2026-06-01T18:00")
        # Back and forth through what was asked.
        await page.get_by_role("checkbox", name="a face").uncheck()
        await shows(page, scene["later"], scene["driver"], scene["cyclist"])
        await page.go_back()
        await shows(page, scene["later"], scene["driver"])


async def test_without_scripts_the_form_and_the_links_do(make_site: MakeSite) -> None:
    site = make_site(UI_PAGE_SIZE="3")
    ids = [site.recorder.add("gate", NINE + number * MINUTE, "driver") for number in range(7)][::-1]
    site.recorder.add("yard", NINE + MINUTE, "driver")
    async with chromium_page(site.url, java_script_enabled=False) as page:
        await page.get_by_label("Camera").select_option("gate")
        await page.get_by_label("From (UTC)").fill("2026-06-01T09:01:00")
        await page.get_by_role("button", name="Search").click()
        shown = []
        for last in (False, True):
            shown += [await card.get_attribute("id") for card in await page.locator(".card").all()]
            await expect(page.get_by_role("link", name="Older")).to_have_count(0 if last else 1)
            if not last:
                await page.get_by_role("link", name="Older").click()
        assert shown == [f"frame-{id}" for id in ids[:6]]
        await page.get_by_role("link", name="Back to the newest").click()
        await page.locator(".card a").nth(1).click()
        await expect(page.get_by_role("heading", name="gate")).to_be_visible()
        await page.get_by_role("link", name="Older").click()
        await expect(page.locator("dd").first).to_have_text(ids[2])


async def test_older_frames_come_while_scrolling_each_once(make_site: MakeSite) -> None:
    site = make_site(UI_PAGE_SIZE="12")
    # Three cameras' frames of the same millisecond: the end of a page lies between them.
    made = [
        site.recorder.frame(camera, NINE + number * 1000, "driver")
        for number in range(20)
        for camera in ("a", "b", "c")
    ]
    site.recorder.publish(*made)
    expected = [said["id"] for said in sorted(made, key=lambda said: (said["captured_at"], said["id"]), reverse=True)]
    async with chromium_page(f"{site.url}/?to=2026-06-02T00:00:00Z") as page:
        while len(await page.evaluate(SHOWN)) < len(expected):
            await page.mouse.wheel(0, 3000)
            await page.wait_for_timeout(50)
        await shows(page, *expected)
        await expect(page.get_by_role("link", name="Older")).to_have_count(0)
        assert complaints(page) == []


async def test_new_frames_come_by_themselves_where_they_belong(site: Site) -> None:
    start = now() - 10 * MINUTE
    first = site.recorder.add("gate", start, "driver")
    async with chromium_page(f"{site.url}/?camera=gate&face=1&last=1h") as page:
        await shows(page, first)
        await page.evaluate("window.same = true")
        await page.locator(".card a").first.focus()
        third = site.recorder.add("gate", start + 2 * MINUTE, "astronaut")
        site.recorder.add("gate", start + MINUTE, "coffee")
        site.recorder.add("yard", start + MINUTE, "driver")
        await shows(page, third, first)
        # One that was longer on its way.
        second = site.recorder.add("gate", start + MINUTE, "driver")
        await shows(page, third, second, first)
        await expect(page.locator("#summary strong")).to_have_text("3", timeout=SOON_MS)
        await page.wait_for_function(PICTURES)
        # Without the page being loaded anew, or the focus being taken from who works with it.
        assert await page.evaluate("window.same")
        assert await page.evaluate("document.activeElement.closest('.card').id") == f"frame-{first}"
        assert complaints(page) == []


async def test_a_page_that_is_open_since_before_the_first_frame_gets_to_know_all(site: Site) -> None:
    async with chromium_page(site.url) as page:
        await expect(page.get_by_text("Elasticsearch has no index")).to_be_visible()
        first = site.recorder.add("gate", now(), "driver")
        await shows(page, first)
        await expect(page.get_by_text("Elasticsearch has no index")).to_have_count(0)
        await expect(page.get_by_role("checkbox", name="person")).to_have_count(1, timeout=SOON_MS)
        await expect(page.get_by_label("Camera").get_by_role("option", name="gate")).to_have_count(1)


async def test_a_search_with_an_end_stays_as_it_is(site: Site, scene: dict[str, str]) -> None:
    async with chromium_page(f"{site.url}/?camera=garage&to=2026-06-01T10:00:00Z") as page:
        await shows(page, scene["motorcycle"], scene["rocket"])
        await expect(page.locator(".live")).to_have_count(0)
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        site.recorder.add("garage", NINE + MINUTE, "rocket")
        await page.get_by_label("Camera").select_option("desk")
        await shows(page, scene["astronaut"], scene["coffee"])
        assert not [url for url in asked if "camera=garage" in url]


async def test_the_timeline_counts_by_class_and_leads_to_a_time(site: Site, scene: dict[str, str]) -> None:
    async with chromium_page(f"{site.url}/?from=2026-06-01T09:00:00Z&to=2026-06-01T10:00:00Z") as page:
        timeline = page.get_by_role("region", name="Counts over time")
        for name, count in {"frames": 7, "person": 3, "cup": 1, "car": 1, "face": 2}.items():
            await expect(timeline.get_by_role("img", name=f"{name}: {count} in all")).to_have_count(1)
        await timeline.get_by_text("Counts as a table").click()
        rows = timeline.get_by_role("row").filter(has=page.get_by_role("rowheader"))
        await expect(rows).to_have_count(7)
        await expect(rows.first).to_have_text(re.compile(r"1 Jun 2026, 09:00:00\s*1"))
        # The column with the astronaut.
        await timeline.locator(".row:has-text('person') svg a").nth(1).click()
        await shows(page, scene["astronaut"])
        await timeline.get_by_role("link", name="face").click()
        assert "face=1" in page.url and "class" not in page.url
        await shows(page, scene["astronaut"])


async def test_everything_by_keyboard(site: Site, scene: dict[str, str]) -> None:
    def focused() -> Any:
        return page.evaluate("document.activeElement.closest('.card')?.id.slice(6)")

    async with chromium_page(f"{site.url}/?to=2026-06-01T11:00:00Z") as page:
        ids = list(scene.values())
        await shows(page, *ids)
        for key, at in [("j", 0), ("j", 1), ("ArrowRight", 2), ("k", 1), ("ArrowLeft", 0), ("k", 0), ("ArrowDown", 4)]:
            await page.keyboard.press(key)
            assert await focused() == ids[at], key
        await page.keyboard.press("ArrowUp")
        assert await focused() == ids[0]
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert await page.evaluate(outline) == "solid"
        await page.keyboard.press("/")
        await expect(page.get_by_label("Camera")).to_be_focused()
        await page.keyboard.press("g")  # the first camera that begins so
        await page.keyboard.press("Tab")
        await shows(page, *(scene[name] for name in ("motorcycle", "rocket")))
        await page.keyboard.press("Escape")
        assert await focused() == scene["motorcycle"]
        await page.keyboard.press("Enter")
        await shows_frame(page, scene["motorcycle"])
        await page.keyboard.press("j")
        await shows_frame(page, scene["rocket"])
        await page.keyboard.press("Escape")
        # Back in the same search, at the picture that was looked at.
        await shows(page, *(scene[name] for name in ("motorcycle", "rocket")))
        await page.wait_for_load_state("domcontentloaded")
        assert await focused() == scene["rocket"]
        assert page.url.endswith("/?camera=garage&to=2026-06-01T11:00:00Z")
        assert complaints(page) == []


async def test_a_phone(site: Site, scene: dict[str, str]) -> None:
    site.recorder.add("a-camera-with-the-longest-name-there--is", NINE, "driver")
    async with chromium_page(f"{site.url}/?to=2026-06-01T11:00:00Z", PHONE) as page:
        await expect(page.locator(".card")).to_have_count(10)
        assert await overflow(page) == 0
        await page.get_by_role("checkbox", name="a face").tap()
        await expect(page.locator(".card")).to_have_count(5)
        await page.locator(".card a").first.tap()
        await expect(page.get_by_role("heading", name="gate")).to_be_visible()
        assert await overflow(page) == 0
        await page.get_by_role("link", name="Older").tap()
        await expect(page.locator("dd").first).to_have_text(scene["driver"])
        assert complaints(page) == []


async def test_a_frame_with_its_detections_and_neighbours(site: Site, scene: dict[str, str]) -> None:
    async with chromium_page(f"{site.url}/frames/{scene['astronaut']}?class=person") as page:
        await expect(page.get_by_role("heading", name="desk")).to_be_visible()
        table = page.get_by_role("table", name="What was detected")
        await expect(table.get_by_role("row").nth(1)).to_have_text(re.compile(r"person\s*0\.61\s*8, 9, 361 × 503"))
        await expect(table.get_by_role("row").nth(2)).to_have_text(re.compile(r"face\s*0\.94\s*173, 68, 107 × 106"))
        await expect(page.locator("time")).to_have_text(re.compile("Monday,? 1 June 2026 at 09:10:00 UTC"))
        await page.wait_for_function(PICTURES)
        # The row's box is shown where it is in the picture.
        await table.get_by_role("row").nth(2).hover()
        face = page.locator("rect.on")
        await expect(face).to_have_count(1)
        picture, box = await page.locator("figure img").bounding_box(), await face.bounding_box()
        assert picture and box
        scale = picture["height"] / 512
        left = picture["x"] + (picture["width"] - 512 * scale) / 2
        assert box["x"] == pytest.approx(left + 173 * scale, abs=3)
        assert box["y"] == pytest.approx(picture["y"] + 68 * scale, abs=3)
        await page.get_by_role("link", name="Older").click()
        await expect(page.locator("dd").first).to_have_text(scene["coffee"])
        await expect(page.get_by_role("link", name="Older")).to_have_count(0)
        await page.get_by_role("link", name="Newer").click()
        await expect(page.locator("dd").first).to_have_text(scene["astronaut"])
        await page.get_by_role("link", name="Search").click()
        await shows(page, *(scene[name] for name in ("later", "driver", "astronaut", "cyclist", "early")))
        assert complaints(page) == []


async def test_elasticsearch_goes_away_and_comes_back(site: Site, scene: dict[str, str], elasticsearch: Any) -> None:
    async with (
        chromium_page(f"{site.url}/?camera=garage") as open_before,
        chromium_page(f"{site.url}/frames/{scene['coffee']}") as frame,
    ):
        await shows(open_before, scene["motorcycle"], scene["rocket"])
        elasticsearch.kill()
        alert = open_before.get_by_role("alert")
        await expect(alert).to_contain_text("The search is away", timeout=SOON_MS)
        # What was found stays.
        await shows(open_before, scene["motorcycle"], scene["rocket"])
        answer = await frame.reload()
        assert answer and answer.status == 503
        await expect(frame.get_by_role("alert")).to_contain_text("Elasticsearch cannot be reached.", timeout=SOON_MS)
        async with chromium_page(f"{site.url}/?camera=garage") as opened_now:
            await expect(opened_now.get_by_role("alert")).to_contain_text(
                "The search is away. Elasticsearch cannot be reached."
            )
            await expect(opened_now.get_by_label("Camera")).to_have_value("garage")
            assert "Traceback" not in await opened_now.content()
            elasticsearch.start()  # in no other thread: it would end with that one
            await shows(opened_now, scene["motorcycle"], scene["rocket"])
            await expect(opened_now.get_by_role("alert")).to_have_text("")
        await expect(alert).to_have_text("", timeout=SOON_MS)
        await expect(frame.get_by_role("heading", name="desk")).to_be_visible(timeout=SOON_MS)
        added = site.recorder.add("garage", now(), "rocket")
        await shows(open_before, added, scene["motorcycle"], scene["rocket"])


async def test_the_server_goes_away_and_comes_back(site: Site, scene: dict[str, str]) -> None:
    async with chromium_page(f"{site.url}/?camera=garage") as page:
        await shows(page, scene["motorcycle"], scene["rocket"])
        await asyncio.to_thread(site.service.end)
        await expect(page.get_by_role("alert")).to_contain_text("connection to the server is lost", timeout=SOON_MS)
        site.service.start()
        await expect(page.get_by_role("alert")).to_have_text("", timeout=SOON_MS)
        added = site.recorder.add("garage", now(), "rocket")
        await shows(page, added, scene["motorcycle"], scene["rocket"])


async def test_a_picture_that_is_archived_later_appears(site: Site) -> None:
    said = site.recorder.frame("gate", now(), "astronaut", picture=False)
    site.recorder.publish(said)
    async with chromium_page(f"{site.url}/?camera=gate") as page:
        await shows(page, said["id"])
        text = await page.evaluate("fetch(document.querySelector('.card img').src).then(answer => answer.text())")
        assert "This picture is not in the store" in text and "Not archived yet, or expired" in text
        # The browser shows this very text in the picture's place.
        await page.wait_for_function("() => document.querySelector('.card img').naturalWidth === 16")
        path = site.recorder.store / said["image"]
        path.parent.mkdir(parents=True)
        path.write_bytes(site.recorder.picture("astronaut"))
        await page.wait_for_function(PICTURES)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[MountedStore]:
    store = MountedStore(tmp_path / "mounted")
    yield store
    store.close()


async def test_the_store_goes_away_and_comes_back(make_site: MakeSite, mounted: MountedStore) -> None:
    site = make_site(store=mounted.path)
    id = site.recorder.add("gate", now(), "astronaut")
    async with chromium_page(f"{site.url}/?camera=gate") as page:
        await shows(page, id)
        await page.wait_for_function(PICTURES)
        mounted.unmount()
        alert = page.get_by_role("alert")
        await expect(alert).to_contain_text("The image store is away", timeout=SOON_MS)
        await shows(page, id)
        async with chromium_page(f"{site.url}/frames/{id}") as frame:
            await expect(frame.get_by_role("alert")).to_contain_text("The image store is away")
            await expect(frame.get_by_role("table")).to_be_visible()
        mounted.mount()
        await expect(alert).to_have_text("", timeout=SOON_MS)
        async with chromium_page(f"{site.url}/frames/{id}") as frame:
            await frame.wait_for_function(PICTURES)


async def test_a_password(make_site: MakeSite) -> None:
    site = make_site(UI_PASSWORD="öffne dich")
    id = site.recorder.add("gate", now(), "astronaut")
    given = {"username": "cctv", "password": "öffne dich"}
    async with chromium_page(site.url, http_credentials=given) as page:
        await shows(page, id)
        await page.wait_for_function(PICTURES)
        added = site.recorder.add("gate", now(), "driver")
        await shows(page, added, id)
        assert complaints(page) == []


async def test_what_a_link_brings_is_shown_as_text(site: Site, scene: dict[str, str]) -> None:
    text = "<img src=x onerror=alert(1)>"
    async with chromium_page(f"{site.url}/?class={text}", DESKTOP) as page:
        await expect(page.get_by_role("alert")).to_contain_text(f"class={text}")
        assert [said for said in complaints(page) if "400" not in said] == []


async def test_screenshots_for_the_readme(site: Site) -> None:
    """Both pages as docs/images/ has them; to be copied from tests/output when they have changed."""
    photos = {"desk": ("astronaut", "coffee"), "garage": ("motorcycle",), "launch-pad": ("rocket",)}
    at, frames = NINE, []
    for number in range(180):
        camera = list(photos)[number * 7 % 5 % 3]
        # People come and go: the time between two frames swells and shrinks.
        at += 4_000 + (number * 37 % 60) * 700
        frames.append(site.recorder.frame(camera, at, photos[camera][number // 3 % len(photos[camera])]))
    site.recorder.publish(*frames)
    newest_face = next(said for said in reversed(frames) if said["face_count"])
    OUTPUT.mkdir(exist_ok=True)
    for name, path in {"search": "/?from=2026-06-01T09:00:00Z", "frame": f"/frames/{newest_face['id']}"}.items():
        async with chromium_page(site.url + path, (1280, 800), color_scheme="dark") as page:
            await page.wait_for_function(PICTURES)
            file = OUTPUT / f"ui-{name}.jpg"
            await page.screenshot(path=file, type="jpeg", quality=70)
            assert 10_000 < file.stat().st_size < 150_000
            assert complaints(page) == []
