// One connection carries the pictures of all cameras (/live): a browser opens only six to a host. A second, short-lived
// one asks each second what is known of their flow (/cameras).

const POLL_MS = 1000;
const SILENCE_MS = 7000; // the server sends something every 2 s

const $ = (id) => document.getElementById(id);
const tiles = new Map();
const early = new Map(); // pictures of cameras that have no tile yet; a silent camera's only comes once
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const clockTime = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dateAndTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

class Tile {
  constructor(id) {
    this.id = id;
    this.node = $("tile").content.firstElementChild.cloneNode(true);
    this.find = (selector) => this.node.querySelector(selector);
    this.canvas = this.find("canvas");
    this.context = this.canvas.getContext("2d");
    this.canvas.setAttribute("aria-label", `Live picture of ${id}`);
    this.node.id = `tile-${id}`;
    this.find("h2").textContent = id;
    this.find(".picture").href = `#${id}`;
    this.find(".picture").setAttribute("aria-label", `Show ${id} alone`);
    this.state = "waiting";
  }

  // Decoding is the browser's, aside; while one picture is decoded only the newest of those that arrive is kept.
  async show(jpeg) {
    this.next = jpeg;
    if (this.busy) return;
    this.busy = true;
    while (this.next) {
      const blob = new Blob([this.next], { type: "image/jpeg" });
      this.next = null;
      try {
        const bitmap = await createImageBitmap(blob);
        if (this.canvas.width !== bitmap.width || this.canvas.height !== bitmap.height) {
          this.canvas.width = bitmap.width;
          this.canvas.height = bitmap.height;
        }
        this.context.drawImage(bitmap, 0, 0);
        bitmap.close();
        this.node.dataset.drawn = Number(this.node.dataset.drawn ?? 0) + 1;
      } catch {
        // A picture that the browser cannot decode: the next one comes soon.
      }
    }
    this.busy = false;
  }

  describe(camera, now) {
    if (camera.state !== this.state) {
      if (camera.state === "silent") announce(`${this.id} is silent since ${since(camera, now)}`);
      else if (this.state === "silent") announce(`${this.id} is live again`);
      this.state = camera.state;
    }
    this.node.dataset.state = camera.state;
    this.find(".state").textContent = camera.state;
    const [what, more] = {
      live: ["", ""],
      waiting: ["Waiting for the first frame", ""],
      silent: [`Silent since ${since(camera, now)}`, `no frame for ${duration(now - Date.parse(camera.last_frame_at))}`],
    }[camera.state];
    const message = this.find(".message");
    message.hidden = !what;
    message.children[0].textContent = what;
    message.children[1].textContent = more;
    const label = this.find(".label");
    label.textContent = camera.label ?? "";
    label.title = camera.label ?? "no prediction";
    if (camera.label) {
      const share = document.createElement("b");
      share.textContent = `${Math.round(camera.probability * 100)} %`;
      label.append(share);
    }
    const behind = camera.fps_in - camera.fps >= 1;
    this.find(".fps").textContent = behind ? `${camera.fps.toFixed(1)} / ${camera.fps_in.toFixed(1)}` : camera.fps.toFixed(1);
    this.find(".age").textContent = camera.age_p50_ms === null ? "–" : age(camera.age_p50_ms);
  }
}

const age = (ms) => (Math.abs(ms) < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

function duration(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

function since(camera, now) {
  if (camera.last_frame_at === null) return "";
  const at = new Date(camera.last_frame_at);
  return (now - at < 12 * 3600 * 1000 ? clockTime : dateAndTime).format(at);
}

function announce(text) {
  $("announcer").textContent = text;
}

function arrange(cameras, now) {
  const grid = $("grid");
  for (const [id, tile] of tiles) {
    if (!cameras.some((camera) => camera.id === id)) {
      tile.node.remove();
      tiles.delete(id);
    }
  }
  cameras.forEach((camera, i) => {
    if (!tiles.has(camera.id)) tiles.set(camera.id, new Tile(camera.id));
    const tile = tiles.get(camera.id);
    if (early.has(camera.id)) tile.show(early.get(camera.id));
    if (grid.children[i] !== tile.node) grid.insertBefore(tile.node, grid.children[i] ?? null);
    tile.describe(camera, now);
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
  const parts = ["live", "silent", "waiting"].filter((state) => count(state)).map((state) => `${count(state)} ${state}`);
  $("summary").textContent = parts.join(", ");
  choose();
}

// --- one camera alone: /#name

const chosen = () => {
  const id = decodeURIComponent(location.hash.slice(1));
  return tiles.has(id) ? id : null;
};

function choose() {
  const id = chosen();
  document.body.classList.toggle("single", id !== null);
  $("back").hidden = id === null;
  for (const tile of tiles.values()) {
    tile.node.classList.toggle("chosen", tile.id === id);
    const link = tile.find(".picture");
    const href = tile.id === id ? "#" : `#${tile.id}`;
    if (link.getAttribute("href") !== href) {
      link.setAttribute("href", href);
      link.setAttribute("aria-label", tile.id === id ? "Show all cameras" : `Show ${tile.id} alone`);
    }
  }
  title();
}

function title() {
  const id = chosen();
  document.title = [id ?? $("summary").textContent, "Cameras"].filter(Boolean).join(" – ");
}

addEventListener("hashchange", () => {
  const before = document.querySelector(".tile.chosen");
  choose();
  restart();
  (document.querySelector(".tile.chosen") ?? before)?.querySelector(".picture").focus({ preventScroll: chosen() !== null });
});

addEventListener("keydown", (event) => {
  const id = chosen();
  if (id === null || event.ctrlKey || event.altKey || event.metaKey) return;
  const ids = [...tiles.keys()];
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (event.key === "Escape") location.hash = "";
  else if (step) location.hash = ids[(ids.indexOf(id) + step + ids.length) % ids.length];
});

// --- the pictures

// Splits a multipart stream: header lines, an empty line, Content-Length bytes, the next boundary.
class Parts {
  bytes = new Uint8Array(1 << 18);
  start = 0;
  end = 0;

  push(chunk) {
    if (this.end + chunk.length > this.bytes.length) {
      const rest = this.bytes.subarray(this.start, this.end);
      const room = Math.max(this.bytes.length, 2 * (rest.length + chunk.length));
      const bytes = room > this.bytes.length ? new Uint8Array(room) : this.bytes;
      bytes.set(rest);
      [this.bytes, this.start, this.end] = [bytes, 0, rest.length];
    }
    this.bytes.set(chunk, this.end);
    this.end += chunk.length;
  }

  next() {
    for (let i = this.start; i + 3 < this.end; i++) {
      if (this.bytes[i] !== 13 || this.bytes[i + 1] !== 10 || this.bytes[i + 2] !== 13 || this.bytes[i + 3] !== 10) continue;
      const head = new TextDecoder().decode(this.bytes.subarray(this.start, i));
      const said = (name) => new RegExp(`^${name}: (.*)$`, "m").exec(head)?.[1];
      const from = i + 4;
      const to = from + Number(said("Content-Length"));
      if (Number.isNaN(to)) throw new Error("a part without length");
      if (this.end < to) return null;
      const part = { camera: said("X-Camera"), body: this.bytes.slice(from, to) };
      this.start = to;
      return part;
    }
    return null;
  }
}

let controller = null;

async function stream() {
  controller = new AbortController();
  const mine = controller;
  let watchdog;
  const alive = () => {
    clearTimeout(watchdog);
    watchdog = setTimeout(() => mine.abort(), SILENCE_MS);
  };
  try {
    alive();
    const id = chosen();
    const response = await fetch(id === null ? "/live" : `/live?cameras=${encodeURIComponent(id)}`, { signal: mine.signal, cache: "no-store" });
    if (response.status === 503) {
      trouble("pictures", "As many people are watching as are allowed. Trying again.");
      await wait(1000 * Number(response.headers.get("Retry-After") ?? 5));
      return;
    }
    if (!response.ok) throw new Error(`status ${response.status}`);
    trouble("pictures", "");
    const parts = new Parts();
    for (const reader = response.body.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) return;
      alive();
      parts.push(value);
      for (let part = parts.next(); part; part = parts.next()) {
        if (tiles.has(part.camera)) tiles.get(part.camera).show(part.body);
        else if (part.camera) early.set(part.camera, part.body);
      }
    }
  } finally {
    clearTimeout(watchdog);
    mine.abort();
  }
}

function restart() {
  controller?.abort();
}

const paused = () => document.hidden || $("pause").getAttribute("aria-pressed") === "true";

async function streamForEver() {
  for (;;) {
    if (paused()) await new Promise((resolve) => { resume = resolve; });
    const began = performance.now();
    await stream().catch(() => {});
    // Asked to (another camera chosen): at once. Otherwise with a pause that spreads the viewers of a restarted server.
    if (performance.now() - began < 1000) await wait(300 + 700 * Math.random());
  }
}

let resume = () => {};

function pauseOrResume() {
  if (paused()) restart();
  else resume();
}

$("pause").addEventListener("click", () => {
  const pressed = $("pause").getAttribute("aria-pressed") !== "true";
  $("pause").setAttribute("aria-pressed", pressed);
  $("pause").textContent = pressed ? "Resume" : "Pause";
  pauseOrResume();
});

document.addEventListener("visibilitychange", pauseOrResume);

// --- what is known of the cameras

const troubles = new Map();

function trouble(what, text) {
  troubles.set(what, text);
  const shown = [...troubles.values()].find(Boolean) ?? "";
  if ($("trouble").textContent !== shown) $("trouble").textContent = shown;
  $("trouble").hidden = !shown;
}

async function pollForEver() {
  for (;;) {
    if (!document.hidden) {
      try {
        const response = await fetch("/cameras", { signal: AbortSignal.timeout(4000), cache: "no-store" });
        if (!response.ok) throw new Error(`status ${response.status}`);
        const { now, cameras } = await response.json();
        arrange(cameras, Date.parse(now));
        document.body.classList.remove("lost");
        trouble("server", "");
      } catch {
        document.body.classList.add("lost");
        trouble("server", "The connection to the server is lost. Trying again.");
      }
    }
    await wait(POLL_MS);
  }
}

pollForEver();
streamForEver();
