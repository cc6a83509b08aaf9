"""look.py URL SCREENSHOT CAMERA,...: looks at the live page as a person does.

Ends with an error when a tile shows no moving picture. One of the cameras must be named photos: among its photos is one
of a cup of coffee, and the model is to say so.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.request

from playwright.sync_api import sync_playwright

TIMEOUT_S = 60
CHROMIUM = "/usr/bin/chromium"
# This looks at loopback only; without these, Chromium looks for its maker's hosts at every start.
ARGUMENTS = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
# crypto.subtle would do it, but only for pages of this very machine.
DIGEST = """canvas => {
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const pixels = new Uint32Array(data.buffer);
  if (pixels.every((pixel, _, all) => pixel === all[0])) return "";
  return String(pixels.reduce((sum, pixel) => (Math.imul(sum, 31) + pixel) | 0, 0));
}"""


def pictures_change(url: str, screenshot: str, cameras: list[str]) -> None:
    """Wait until each camera's tile is live and has shown three pictures that differ."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(url)
        for camera in cameras:
            tile = page.locator(f"#tile-{camera}[data-state=live]")
            tile.wait_for(timeout=TIMEOUT_S * 1000)
            shown: set[str] = set()
            deadline = time.monotonic() + TIMEOUT_S
            while len(shown) < 3:
                if time.monotonic() > deadline:
                    sys.exit(f"The tile of {camera} showed {len(shown)} pictures in {TIMEOUT_S} s")
                shown |= {tile.locator("canvas").evaluate(DIGEST)} - {""}
                page.wait_for_timeout(50)
        page.screenshot(path=screenshot)
        browser.close()


def coffee_is_espresso(url: str) -> None:
    """Wait until a frame of the coffee photo comes with its name."""
    labels = set()
    deadline = time.monotonic() + TIMEOUT_S
    with urllib.request.urlopen(f"{url}/cameras/photos/stream.mjpg", timeout=TIMEOUT_S) as stream:
        for line in stream:
            if line.lower().startswith(b"x-label:"):
                labels.add(line.partition(b":")[2].strip().decode())
            if "espresso" in labels:
                return
            if time.monotonic() > deadline:
                break
    sys.exit(f"Of the photos the model said {json.dumps(sorted(labels))}, and espresso of none")


if __name__ == "__main__":
    pictures_change(sys.argv[1], sys.argv[2], sys.argv[3].split(","))
    coffee_is_espresso(sys.argv[1])
