// One connection carries the pictures of all cameras that are shown: a browser opens only six to a host.

const SILENCE_MS = 7000; // the server sends something every 2 s

// Wherever a proxy shows the page, the server's paths are beside this file's folder.
export const at = (path) => new URL(path, new URL("..", import.meta.url));
export const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

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

// Streams for ever what `path()` says, which is null while there is nothing to see.
export class Pictures {
  constructor(path, show, trouble) {
    this.path = path;
    this.show = show;
    this.trouble = trouble;
    this.controller = null;
    this.wake = () => {};
    this.run();
  }

  // To be called whenever path() may have changed.
  update() {
    if (this.path() !== this.streamed) this.controller?.abort();
    this.wake();
  }

  async run() {
    for (;;) {
      while (this.path() === null) await new Promise((resolve) => { this.wake = resolve; });
      this.streamed = this.path();
      const began = performance.now();
      await this.stream(this.streamed).catch(() => {});
      // Asked to: at once. Otherwise with a pause that spreads the viewers of a restarted server.
      const asked = this.path() !== this.streamed;
      this.streamed = null;
      if (!asked && performance.now() - began < 1000) await wait(300 + 700 * Math.random());
    }
  }

  async stream(path) {
    const controller = new AbortController();
    this.controller = controller;
    let watchdog;
    const alive = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => controller.abort(), SILENCE_MS);
    };
    try {
      alive();
      const response = await fetch(at(path), { signal: controller.signal, cache: "no-store" });
      if (response.status === 503) {
        this.trouble("As many people are watching as are allowed. Trying again.");
        await wait(1000 * Number(response.headers.get("Retry-After") ?? 5));
        return;
      }
      if (!response.ok) throw new Error(`status ${response.status}`);
      this.trouble("");
      const parts = new Parts();
      for (const reader = response.body.getReader(); ; ) {
        const { done, value } = await reader.read();
        if (done) return;
        alive();
        parts.push(value);
        for (let part = parts.next(); part; part = parts.next()) {
          if (part.camera) this.show(part.camera, part.body);
        }
      }
    } finally {
      clearTimeout(watchdog);
      controller.abort();
    }
  }
}
