// One camera's picture, and what is known of it.

const clockTime = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dateAndTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

const RATE_SPAN = 4; // counts over which the rate is taken

export class Tile {
  constructor(id, announce) {
    this.id = id;
    this.announce = announce;
    this.node = document.getElementById("tile").content.firstElementChild.cloneNode(true);
    this.find = (selector) => this.node.querySelector(selector);
    this.canvas = this.find("canvas");
    this.context = this.canvas.getContext("2d");
    this.canvas.setAttribute("aria-label", `Live picture of ${id}`);
    this.node.id = `tile-${id}`;
    this.node.dataset.camera = id;
    this.find("h2").textContent = id;
    this.find(".full").setAttribute("aria-label", `Show ${id} on the full screen`);
    this.state = "waiting";
    this.received = 0;
    this.counts = [];
    this.rate = null; // pictures that come here in a second, once it is known
  }

  // How many pictures have come since the last count.
  count(now, watched) {
    const before = this.counts.at(-1)?.received ?? 0;
    this.counts = watched ? [...this.counts, { now, received: this.received }].slice(-RATE_SPAN) : [];
    const [first] = this.counts;
    this.rate = this.counts.length < RATE_SPAN ? null : ((this.received - first.received) * 1000) / (now - first.now);
    return watched ? this.received - before : 0;
  }

  // Decoding is the browser's, aside; while one picture is decoded only the newest of those that arrive is kept.
  async show(jpeg) {
    this.received += 1;
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
      if (camera.state === "silent") this.announce(`${this.id} is silent since ${since(camera, now)}`);
      else if (this.state === "silent") this.announce(`${this.id} is live again`);
      this.state = camera.state;
    }
    this.node.dataset.state = camera.state;
    this.find(".state").textContent = camera.state;
    const [what, more] = {
      live: ["", ""],
      waiting: ["Waiting for the first frame", ""],
      silent: [`Silent since ${since(camera, now)}`, `no frame for ${duration(now - Date.parse(camera.last_frame_at))}`],
      unknown: ["Not known here", "the server has no camera of this name"],
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
    const shown = Math.min(camera.fps, this.rate ?? camera.fps);
    const behind = camera.fps_in - shown >= 1;
    this.find(".fps").textContent = behind ? `${shown.toFixed(1)} / ${camera.fps_in.toFixed(1)}` : shown.toFixed(1);
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
