"""What people see, in a real browser."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from browser.chromium import DESKTOP, LOOK, PHONE, chromium_page, complaints, overflow, unchanging
from cctv_common.frames import Frame
from integration.video.helpers import Feed, Nginx, Site, frame, jpeg
from playwright.async_api import expect
from ports import free_port

MakeSite = Callable[..., Site]
COLUMNS = "getComputedStyle(document.querySelector('#grid')).gridTemplateColumns.split(' ').length"
FILLS = """id => {
  const box = document.querySelector(`#tile-${id} canvas`).getBoundingClientRect();
  return box.width === innerWidth && box.height === innerHeight;
}"""
WIDEST = "() => Math.max(...[...document.querySelectorAll('#grid canvas')].map(canvas => canvas.width))"
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


async def test_the_wall_by_keyboard_and_the_full_screen(make_site: MakeSite) -> None:
    names = ["gate", "yard", "attic", "cellar"]
    site = make_site(names)
    with Feed(site.offer, names):
        async with chromium_page(site.url, (1100, 500)) as page:
            assert await unchanging(page, names) == set()

            async def focused() -> str:
                return str(await page.evaluate("document.activeElement.closest('.tile')?.dataset.camera"))

            assert await page.evaluate(COLUMNS) == 3
            for key, expected in (
                ("ArrowRight", "gate"),
                ("ArrowRight", "yard"),
                ("ArrowLeft", "gate"),
                ("ArrowDown", "cellar"),
                ("ArrowUp", "gate"),
                ("End", "cellar"),
                ("Home", "gate"),
            ):
                await page.keyboard.press(key)
                assert await focused() == expected, key
            # The full screen has this camera, its neighbours by the arrows, and leads back to the wall.
            await page.keyboard.press("f")
            await page.wait_for_function("() => document.fullscreenElement !== null")
            await expect(page).to_have_title("gate – Cameras")
            await expect(page.locator("header")).to_be_hidden()
            await page.keyboard.press("ArrowRight")
            await expect(page).to_have_title("yard – Cameras")
            assert await page.evaluate(FILLS, "yard")
            assert await unchanging(page, ["yard"]) == set()
            await page.keyboard.press("f")
            await page.wait_for_function("() => document.fullscreenElement === null")
            for camera in names:
                await expect(page.locator(f"#tile-{camera}")).to_be_visible()
            assert await unchanging(page, names) == set()
            await page.keyboard.press("3")
            await expect(page).to_have_title("attic – Cameras")
            await page.keyboard.press("0")
            await expect(page.locator("#tile-gate")).to_be_visible()
            await page.keyboard.press("?")
            await expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
            await page.keyboard.press("Escape")
            await page.locator("#tile-attic").get_by_role("button", name="Show attic on the full screen").click()
            await page.wait_for_function("() => document.fullscreenElement !== null")
            assert await page.evaluate(FILLS, "attic")
            assert complaints(page) == []


async def test_cameras_are_chosen_and_the_address_is_a_link_to_them(make_site: MakeSite) -> None:
    site = make_site(["gate", "yard", "attic"])
    with Feed(site.offer, ["gate", "yard", "attic"]):
        async with chromium_page(site.url) as page:
            assert await unchanging(page, ["gate", "yard", "attic"]) == set()
            await page.get_by_role("button", name="Choose").click()
            await page.get_by_role("checkbox", name="yard").uncheck()
            await page.keyboard.press("Escape")
            await expect(page.locator("#tile-yard")).to_have_count(0)
            assert await unchanging(page, ["gate", "attic"]) == set()
            link = page.url
            assert link.endswith("?cameras=gate,attic")
        async with chromium_page(link.replace("gate,attic", "attic,nowhere,gate")) as page:
            assert await unchanging(page, ["attic", "gate"]) == set()
            ids = "[...document.querySelectorAll('.tile')].map(tile => tile.dataset.camera)"
            assert await page.evaluate(ids) == ["attic", "nowhere", "gate"]
            await expect(page.locator("#tile-nowhere")).to_contain_text("Not known here")
            await page.get_by_role("button", name="Choose").click()
            await page.get_by_role("button", name="All").click()
            await page.get_by_role("button", name="Done").click()
            assert await unchanging(page, ["gate", "yard", "attic"]) == set()
            assert page.url.rstrip("/") == site.url


async def test_a_wall_of_16_on_a_phone_with_a_thin_line(make_site: MakeSite) -> None:
    """1.6 Mbit/s, on which one of these pictures takes more than a second."""
    names = MANY[:16]
    site = make_site(names)
    large = [frame("any", 0, picture=jpeg(number, (640, 360), detail=True)) for number in range(3)]

    def send(made: Frame) -> None:
        picture = large[made.frame % 3]
        site.offer(replace(made, jpeg=picture.jpeg, width=picture.width, height=picture.height))

    with Feed(send, names, fps=4):
        async with chromium_page("about:blank", PHONE) as page:
            asked: list[str] = []
            page.on("request", lambda request: asked.append(request.url) if "/live" in request.url else None)
            line = await page.context.new_cdp_session(page)
            await line.send("Network.enable")
            conditions = {"offline": False, "latency": 40, "uploadThroughput": 50_000, "downloadThroughput": 200_000}
            await line.send("Network.emulateNetworkConditions", conditions)
            await page.goto(site.url)
            # What two tiles beside each other can show, and then what the line carries.
            await page.wait_for_function(WIDEST + " === 480", timeout=60_000)
            await page.wait_for_function(WIDEST + " === 240", timeout=60_000)
            assert asked[0].endswith("/live?width=400")
            assert await unchanging(page, names) == set()
            assert await overflow(page) == 0
            assert complaints(page) == []


async def test_the_page_asks_for_more_again_with_patience(site: Site) -> None:
    """The rules by which size and rate are chosen, a second at a time."""
    async with chromium_page(site.url) as page:
        said = await page.evaluate(
            """async () => {
                const { Quality } = await import("./static/quality.js");
                const quality = new Quality("auto");
                const told = [quality.query(400)];
                let seconds = 0;
                // A line for 12 pictures a second, however small they are, of four cameras at 10/s.
                const live = (cap) => {
                    const rate = Number(new URLSearchParams(quality.query(400)).get("fps") ?? 10);
                    seconds += 1;
                    const came = Math.min(cap, 4 * rate);
                    if (quality.learn(came, [10, 10, 10, 10])) told.push(seconds + " " + quality.query(400));
                };
                for (let i = 0; i < 60; i++) live(12);
                told.push("the line is better");
                for (let i = 0; i < 120; i++) live(1000);
                return [told, new Quality("full").query(400), new Quality("low").query(400)];
            }"""
        )
    told, full, low = said
    steps = [step.partition(" ")[2] or step for step in told]
    assert steps[0] == "width=400"
    # Down to what the line carries; up again to see, and down; each time after a longer while.
    down = steps.index("width=240&fps=2")
    assert steps[1:down] == ["width=400&fps=5", "width=240&fps=5"]
    better = steps.index("line is better")
    assert "width=240&fps=5" in steps[down:better]
    assert steps[-1] == "width=400"
    assert (full, low) == ("", "width=240&fps=2")


async def test_behind_a_proxy_at_a_path_with_a_password(make_site: MakeSite, tmp_path: Path) -> None:
    given = {"username": "guard", "password": "öffne dich"}
    site = make_site(app=given | {"root_path": "/kept"})
    locations = f"""
        location /site/cctv/ {{ proxy_pass {site.url}/; }}
        location = /bare {{ proxy_pass {site.url}/; proxy_set_header X-Forwarded-Prefix /bare; }}
        location /bare/ {{ proxy_pass {site.url}/; proxy_set_header X-Forwarded-Prefix /bare; }}
        location /kept {{ proxy_pass {site.url}; }}
    """
    with Feed(site.offer, ["gate", "yard"]), Nginx(tmp_path, free_port(), locations) as proxy:
        for path in ("/bare", "/kept", "/site/cctv/?cameras=yard,gate"):
            async with chromium_page(proxy.url + path, http_credentials=given) as page:
                assert await unchanging(page, ["gate", "yard"]) == set()
                assert complaints(page) == []
                if not path.startswith("/site"):
                    continue
                await page.evaluate("window.here = true")
                await asyncio.to_thread(site.stop)
                alert = page.get_by_role("alert")
                await expect(alert).to_contain_text("connection to the server is lost", timeout=SOON_MS)
                await asyncio.to_thread(site.start)
                await expect(alert).to_be_hidden(timeout=SOON_MS)
                assert await unchanging(page, ["gate", "yard"]) == set()
                assert await page.evaluate("window.here")


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
