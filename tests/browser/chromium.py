"""A page in Debian's Chromium, and what to ask of it.

As a program, it says whether the pictures of a running pipeline change in every tile:

    python tests/browser/chromium.py http://127.0.0.1:30163 [--cameras bikes,photos] [--screenshot page.png]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Page, async_playwright

EXECUTABLE = os.environ.get("CCTV_CHROMIUM", "/usr/bin/chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP = (1440, 900)
PHONE = (390, 844)

# The picture as the browser shows it, as text; empty while it is of one colour, as before the first frame.
LOOK = """id => {
  const canvas = document.querySelector(`#tile-${CSS.escape(id)} canvas`);
  if (!canvas) return '';
  const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  let hash = 0, varied = false;
  for (let i = 0; i < pixels.length; i += 4) {
    const rgb = (pixels[i] << 16) | (pixels[i + 1] << 8) | pixels[i + 2];
    hash = (Math.imul(hash, 31) + rgb) | 0;
    varied ||= rgb !== ((pixels[0] << 16) | (pixels[1] << 8) | pixels[2]);
  }
  return varied ? String(hash) : '';
}"""


@asynccontextmanager
async def chromium_page(url: str, size: tuple[int, int] = DESKTOP, **context_options: Any) -> AsyncIterator[Page]:
    """Open ``url`` in a browser of its own; the page collects what it complains about in ``complaints(page)``."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=EXECUTABLE, args=FLAGS)
        try:
            phone = size[0] < 600
            context = await browser.new_context(
                viewport={"width": size[0], "height": size[1]},
                device_scale_factor=2 if phone else 1,
                has_touch=phone,
                locale="en-GB",
                **context_options,
            )
            page = await context.new_page()
            said: list[str] = []
            _complaints[page] = said
            page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error: said.append(str(error)))
            await page.goto(url)
            yield page
        finally:
            _complaints.clear()
            await browser.close()


_complaints: dict[Page, list[str]] = {}


def complaints(page: Page) -> list[str]:
    """Errors that the page has logged, such as violations of its security policy."""
    return list(_complaints[page])


async def unchanging(page: Page, cameras: Iterable[str], timeout_s: float = 30.0) -> set[str]:
    """Wait until every camera's tile has shown two different pictures; return those that have not in time."""
    shown: dict[str, set[str]] = {camera: set() for camera in cameras}
    deadline = time.monotonic() + timeout_s
    while waiting := {camera for camera, pictures in shown.items() if len(pictures - {""}) < 2}:
        if time.monotonic() > deadline:
            return waiting
        for camera in waiting:
            shown[camera].add(await page.evaluate(LOOK, camera))
        await asyncio.sleep(0.05)
    return set()


async def overflow(page: Page) -> int:
    """Pixels by which the page is wider than its window."""
    wider: int = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return wider


async def _main() -> str:
    parser = argparse.ArgumentParser(description="See that the pictures of every camera change.")
    parser.add_argument("url")
    parser.add_argument("--cameras", help="ids, with commas; by default those that the page shows")
    parser.add_argument("--screenshot", help="file for a picture of the page")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds")
    given = parser.parse_args()
    async with chromium_page(given.url) as page:
        await page.wait_for_selector(".tile", timeout=given.timeout * 1000)
        cameras = (
            given.cameras.split(",")
            if given.cameras
            else await page.evaluate("[...document.querySelectorAll('.tile')].map(tile => tile.id.slice(5))")
        )
        still = await unchanging(page, cameras, given.timeout)
        if given.screenshot:
            await page.screenshot(path=given.screenshot)
        for problem in complaints(page):
            print(problem, file=sys.stderr)
    print(f"pictures change in {len(set(cameras) - still)} of {len(cameras)} tiles")
    return f"the pictures do not change of {', '.join(sorted(still))}" if still else ""


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()) or None)
