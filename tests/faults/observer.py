"""What a person sees: a headless Chromium with the live page of each node, in which every tile's picture is watched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from browser import chromium
from playwright.sync_api import Browser, Error, Page, Playwright, sync_playwright

# Five times a second each canvas is drawn small, and that picture compared with the one before. The clock is the
# page's own: one that gets no time to run stands still for its viewer, too.
WATCH = """
(() => {
  const small = new OffscreenCanvas(48, 36);
  const context = small.getContext("2d", { willReadFrequently: true });
  const tiles = new Map();
  const digest = (canvas) => {
    context.drawImage(canvas, 0, 0, small.width, small.height);
    let hash = 0;
    for (const pixel of new Uint32Array(context.getImageData(0, 0, small.width, small.height).data.buffer)) {
      hash = (Math.imul(hash, 31) + pixel) | 0;
    }
    return hash;
  };
  setInterval(() => {
    const now = performance.now();
    for (const node of document.querySelectorAll(".tile")) {
      const id = node.id.slice("tile-".length);
      if (!tiles.has(id)) tiles.set(id, { at: now, longest: 0, changes: 0, hash: 0 });
      const tile = tiles.get(id);
      const hash = digest(node.querySelector("canvas"));
      if (hash === tile.hash) continue;
      tile.longest = Math.max(tile.longest, now - tile.at);
      tile.changes += 1;
      tile.hash = hash;
      tile.at = now;
    }
  }, 200);
  window.watched = {
    begin() {
      for (const tile of tiles.values()) tile.longest = tile.changes = 0;
    },
    read() {
      const now = performance.now();
      return [...tiles].map(([id, tile]) => {
        const node = document.getElementById(`tile-${id}`);
        return {
          id,
          longest: Math.max(tile.longest, now - tile.at) / 1000,
          still: (now - tile.at) / 1000,
          changes: tile.changes,
          state: node?.dataset.state ?? "gone",
          label: node?.querySelector(".label").textContent ?? "",
        };
      });
    },
  };
})();
"""
MOVES_S = 2.5
"""A camera of one picture a second, and half as much again."""


@dataclass(frozen=True)
class Tile:
    """A camera as one page shows it; times in seconds."""

    longest: float
    still: float
    changes: int
    state: str
    label: str

    @property
    def moves(self) -> bool:
        """Whether it shows a live, predicted picture that changes."""
        return self.still < MOVES_S and self.changes > 1 and self.state == "live" and self.label != ""

    def __str__(self) -> str:
        return f"{self.state}, {'labelled' if self.label else 'no label'}, stands still for {self.still:.1f} s"


class Observer:
    """The pages of all nodes, by the nodes' names."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._urls = urls
        self._pages: dict[str, Page] = {}
        self._playwright: Playwright
        self._browser: Browser

    def __enter__(self) -> Self:
        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(executable_path=chromium.EXECUTABLE, args=chromium.FLAGS)
        for node, url in self._urls.items():
            # A context each is a window each: a page behind another would be told that nobody looks at it.
            page = self._browser.new_context(viewport={"width": 800, "height": 600}).new_page()
            page.add_init_script(WATCH)
            page.goto(url)
            self._pages[node] = page
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._browser.close()
        self._playwright.stop()

    def begin(self) -> None:
        """Forget how long pictures stood still until now; what stands still goes on doing so."""
        for page in self._pages.values():
            page.evaluate("watched.begin()")

    def look(self) -> dict[str, dict[str, Tile]]:
        """Each node's tiles, by camera."""
        return {node: self._tiles(page) for node, page in self._pages.items()}

    def _tiles(self, page: Page) -> dict[str, Tile]:
        try:
            said: list[dict[str, Any]] = page.evaluate("watched.read()")
        except Error:  # a page that has just been loaded anew
            return {}
        return {tile.pop("id"): Tile(**tile) for tile in said}

    def screenshot(self, node: str, file: str) -> None:
        """Keep what a node's page looks like."""
        self._pages[node].screenshot(path=file)
