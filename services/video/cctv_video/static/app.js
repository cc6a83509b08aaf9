// Puts the page together. A short question each second asks what is known of the cameras (/cameras).

import { Pictures, at, wait } from "./stream.js";
import { Quality } from "./quality.js";
import { Tile } from "./tile.js";
import { View } from "./view.js";

const POLL_MS = 1000;
const LOST = "The connection to the server is lost. Trying again.";
const REFUSED = "The server asks for another password. Load the page again.";

const $ = (id) => document.getElementById(id);
const tiles = new Map();
const early = new Map(); // pictures of cameras that have no tile yet; a silent camera's only comes once
const announce = (text) => { $("announcer").textContent = text; };
let known = null; // what the server said last

const view = new View(() => refresh());
let quality = new Quality(view.quality);

// --- the tiles

function arrange() {
  const grid = $("grid");
  const cameras = view.select(known.cameras);
  for (const [id, tile] of tiles) {
    if (!cameras.some((camera) => camera.id === id)) {
      tile.node.remove();
      tiles.delete(id);
    }
  }
  cameras.forEach((camera, i) => {
    if (!tiles.has(camera.id)) tiles.set(camera.id, new Tile(camera.id, announce));
    const tile = tiles.get(camera.id);
    if (early.has(camera.id)) tile.show(early.get(camera.id));
    if (grid.children[i] !== tile.node) grid.insertBefore(tile.node, grid.children[i] ?? null);
    tile.describe(camera, known.now);
  });
  early.clear();
  grid.querySelector(".empty")?.remove();
  if (!cameras.length) {
    const none = document.createElement("p");
    none.className = "empty";
    none.textContent = "No camera has sent a frame yet.";
    grid.append(none);
  }
  const count = (state) => cameras.filter((camera) => camera.state === state).length;
  const parts = ["live", "silent", "waiting", "unknown"].filter(count).map((state) => `${count(state)} ${state}`);
  const hidden = known.cameras.length - cameras.filter((camera) => camera.state !== "unknown").length;
  $("summary").textContent = parts.join(", ") + (hidden ? ` – ${hidden} not chosen` : "");
}

function refresh() {
  if (known) arrange();
  view.mark();
  document.title = [view.alone ?? $("summary").textContent, "Cameras"].filter(Boolean).join(" – ");
  if (quality.mode !== view.quality) quality = new Quality(view.quality);
  pictures?.update();
}

// --- the pictures

const paused = () => document.hidden || $("pause").getAttribute("aria-pressed") === "true";
const watched = () => (view.alone === null ? view.shown : [view.alone]);

function path() {
  const tile = tiles.get(watched()[0]);
  if (paused() || !tile) return null;
  // More pixels than two for one of the page are not seen in a wall.
  const pixels = tile.find(".picture").clientWidth * Math.min(devicePixelRatio, view.alone === null ? 2 : 3);
  const cameras = view.alone === null && view.chosen === null ? "" : `cameras=${watched().join(",")}`;
  const query = [cameras, quality.query(pixels)].filter(Boolean).join("&");
  return query ? `live?${query}` : "live";
}

const pictures = new Pictures(
  path,
  (camera, jpeg) => {
    if (tiles.has(camera)) tiles.get(camera).show(jpeg);
    else if (view.chosen === null) early.set(camera, jpeg);
  },
  (text) => {
    trouble("pictures", text);
    quality.restart();
  },
);

let counted = performance.now();

function count() {
  const now = performance.now();
  const passed = (now - counted) / 1000;
  const seen = watched();
  let came = 0;
  for (const tile of tiles.values()) {
    came += tile.count(now, !paused() && seen.includes(tile.id));
  }
  counted = now;
  const rates = known.cameras.filter((camera) => camera.state === "live" && seen.includes(camera.id)).map((camera) => camera.fps);
  if (!paused() && quality.learn(came / passed, rates)) pictures.update();
}

let settled;
addEventListener("resize", () => {
  clearTimeout(settled);
  settled = setTimeout(refresh, 300);
});

$("pause").addEventListener("click", () => {
  const pressed = $("pause").getAttribute("aria-pressed") !== "true";
  $("pause").setAttribute("aria-pressed", pressed);
  $("pause").textContent = pressed ? "Resume" : "Pause";
  refresh();
});

document.addEventListener("visibilitychange", refresh);

// --- what is known of the cameras

const troubles = new Map();

function trouble(what, text) {
  troubles.set(what, text);
  const shown = [...troubles.values()].find(Boolean) ?? "";
  if ($("trouble").textContent !== shown) $("trouble").textContent = shown;
  $("trouble").hidden = !shown;
}

for (;;) {
  if (!document.hidden) {
    try {
      const response = await fetch(at("cameras"), { signal: AbortSignal.timeout(8000), cache: "no-store" });
      if (!response.ok) throw new Error(response.status === 401 ? REFUSED : LOST);
      const said = await response.json();
      known = { cameras: said.cameras, now: Date.parse(said.now) };
      refresh();
      count();
      document.body.classList.remove("lost");
      trouble("server", "");
    } catch (error) {
      document.body.classList.add("lost");
      trouble("server", error.message === REFUSED ? REFUSED : LOST);
    }
  }
  await wait(POLL_MS);
}
