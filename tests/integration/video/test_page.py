"""What people see, in a real browser."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from browser.chromium import DESKTOP, LOOK, PHONE, chromium_page, complaints, overflow, unchanging
from integration.video.helpers import Feed, Site, frame
from playwright.async_api import expect

MakeSite = Callable[..., Site]
MANY = [f"camera-{number:02}" for number in range(20)]
SOON_MS = 20_000


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_pictures_change_in_every_tile_of_many_cameras(make_site: MakeSite, size: tuple[int, int]) -> None:
    site = make_site(MANY)
    with Feed(site.offer, MANY, fps=5):
        async with chromium_page(site.url, size) as page:
            assert await unchanging(page, MANY) == set()
            assert await overflow(page) == 0
            await expect(page).to_have_title("20 live – Cameras", timeout=SOON_MS)
            assert complaints(page) == []


async def test_what_a_tile_says(site: Site) -> None:
    with Feed(site.offer, ["gate"], label="coffee mug"):
        async with chromium_page(site.url) as page:
            gate, yard = page.locator("#tile-gate"), page.locator("#tile-yard")
            await expect(gate.get_by_role("heading", name="gate")).to_be_visible()
            await expect(gate).to_contain_text("coffee mug", timeout=SOON_MS)
            await expect(gate).to_contain_text("90 %")
            await expect(gate).to_contain_text(re.compile(r"\d+\.\d\s*fps|fps\s*\d+\.\d"))
            await expect(gate).to_contain_text(re.compile(r"\d+ ms"))
            await expect(yard).to_contain_text("Waiting for the first frame")


async def test_a_silent_camera_says_since_when_and_that_it_is_back(make_site: MakeSite) -> None:
    site = make_site(silent_after_s=1.0)
    with Feed(site.offer, ["gate", "yard"]) as feed:
        async with chromium_page(site.url) as page:
            gate = page.locator("#tile-gate")
            assert await unchanging(page, ["gate", "yard"]) == set()
            feed.silent.add("gate")
            await expect(gate).to_contain_text(re.compile(r"Silent since \d\d:\d\d:\d\d"), timeout=SOON_MS)
            await expect(gate).to_contain_text(re.compile(r"no frame for \d+ s"))
            await expect(page.locator("[aria-live=polite]")).to_have_text(re.compile("gate is silent since"))
            await expect(page).to_have_title("1 live, 1 silent – Cameras")
            await expect(page.locator("#tile-yard")).not_to_contain_text("Silent")
            assert await unchanging(page, ["yard"]) == set()
            feed.silent.clear()
            await expect(gate).not_to_contain_text("Silent", timeout=SOON_MS)
            assert await unchanging(page, ["gate"]) == set()


async def test_the_last_picture_of_a_silent_camera_is_there_for_who_comes_later(make_site: MakeSite) -> None:
    site = make_site(silent_after_s=0.1)
    site.offer(frame("gate", 3))
    async with chromium_page(site.url) as page:
        await expect(page.locator("#tile-gate")).to_contain_text("Silent since", timeout=SOON_MS)
        assert await unchanging(page, ["gate"], 0.5) == {"gate"}
        assert await page.evaluate(LOOK, "gate")


async def test_the_page_recovers_when_the_server_restarts(site: Site) -> None:
    with Feed(site.offer, ["gate", "yard"]):
        async with chromium_page(site.url) as page:
            assert await unchanging(page, ["gate", "yard"]) == set()
            await asyncio.to_thread(site.stop)
            await expect(page.get_by_role("alert")).to_contain_text("connection to the server is lost", timeout=SOON_MS)
            await asyncio.to_thread(site.start)
            await expect(page.get_by_role("alert")).to_be_hidden(timeout=SOON_MS)
            assert await unchanging(page, ["gate", "yard"]) == set()


async def test_one_camera_alone_by_keyboard_and_back(make_site: MakeSite) -> None:
    site = make_site(["gate", "yard", "attic"])
    with Feed(site.offer, ["gate", "yard", "attic"]):
        for size in (DESKTOP, PHONE):
            async with chromium_page(site.url, size) as page:
                await page.get_by_role("link", name="Show yard alone").focus()
                await page.keyboard.press("Enter")
                await expect(page.locator("#tile-gate")).to_be_hidden()
                await expect(page).to_have_title("yard – Cameras")
                assert await unchanging(page, ["yard"]) == set()
                assert await overflow(page) == 0
                await page.keyboard.press("ArrowRight")
                await expect(page).to_have_title("attic – Cameras")
                await page.keyboard.press("Escape")
                for camera in ("gate", "yard", "attic"):
                    await expect(page.locator(f"#tile-{camera}")).to_be_visible()
                assert await page.evaluate("document.activeElement.closest('.tile')?.id") == "tile-attic"
                assert await unchanging(page, ["gate", "yard", "attic"]) == set()


async def test_pause_stops_the_pictures(site: Site) -> None:
    with Feed(site.offer, ["gate"]):
        async with chromium_page(site.url) as page:
            assert await unchanging(page, ["gate"]) == set()
            await page.get_by_role("button", name="Pause").click()
            while site.hub.viewers():
                await asyncio.sleep(0.02)
            assert await unchanging(page, ["gate"], 1.0) == {"gate"}
            await page.get_by_role("button", name="Resume").click()
            assert await unchanging(page, ["gate"]) == set()


async def test_a_viewer_too_many_is_told_and_let_in_when_there_is_room(make_site: MakeSite) -> None:
    site = make_site(max_viewers=1)
    with Feed(site.offer, ["gate"]):
        taken = site.hub.watch()
        async with chromium_page(site.url) as page:
            await expect(page.get_by_role("alert")).to_contain_text("As many people are watching", timeout=SOON_MS)
            site.hub.leave(taken)
            assert await unchanging(page, ["gate"]) == set()
            await expect(page.get_by_role("alert")).to_be_hidden()


async def test_labels_are_shown_as_text(site: Site) -> None:
    label = "<img src=x onerror=alert(1)>"
    with Feed(site.offer, ["gate"], label=label):
        async with chromium_page(site.url) as page:
            await expect(page.locator("#tile-gate")).to_contain_text(label, timeout=SOON_MS)
            assert complaints(page) == []


async def test_a_picture_that_cannot_be_decoded_stops_nothing(site: Site) -> None:
    whole = frame("yard", 0).jpeg
    broken = whole[:300] + bytes(len(whole) - 302) + whole[-2:]
    with Feed(site.offer, ["gate"]):
        async with chromium_page(site.url) as page:
            assert await unchanging(page, ["gate"]) == set()
            site.offer(replace(frame("yard", 0), jpeg=broken))
            assert await unchanging(page, ["gate"]) == set()
            with Feed(site.offer, ["yard"]):
                assert await unchanging(page, ["yard"]) == set()
            assert complaints(page) == []
