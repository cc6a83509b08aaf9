// What of it all is shown: which cameras, one alone, the full screen; by mouse, keyboard and link.
//
//   ?cameras=gate,yard   these cameras, in this order
//   ?quality=low         full, low, or as the line allows
//   #gate                this camera alone

const $ = (id) => document.getElementById(id);
const links = () => [...document.querySelectorAll("#grid .tile")].filter((tile) => tile.offsetParent).map((tile) => tile.querySelector(".picture"));

export class View {
  constructor(changed) {
    this.changed = changed;
    this.known = []; // ids of all cameras, as the server lists them
    addEventListener("hashchange", () => this.turn());
    addEventListener("popstate", () => changed());
    addEventListener("keydown", (event) => this.key(event));
    document.addEventListener("fullscreenchange", () => this.filled());
    for (const dialog of document.querySelectorAll("dialog")) {
      dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
      dialog.querySelector(".close").addEventListener("click", () => dialog.close());
    }
    $("choose").addEventListener("click", () => this.choose());
    $("all").addEventListener("click", () => { this.pick(null); this.tick(); });
    $("boxes").addEventListener("change", () => this.picked());
    $("help").addEventListener("click", () => $("keys").showModal());
    $("full").hidden = !document.fullscreenEnabled; // as on iPhones
    $("full").addEventListener("click", () => this.fill());
    $("grid").addEventListener("click", (event) => {
      if (event.target.closest(".full")) this.fill(event.target.closest(".tile").dataset.camera);
    });
    $("quality").value = this.quality;
    $("quality").addEventListener("change", () => this.ask("quality", $("quality").value === "auto" ? null : $("quality").value));
  }

  // --- links

  asked(name) {
    return new URLSearchParams(location.search).get(name);
  }

  ask(name, value) {
    const url = new URL(location);
    if (value === null) url.searchParams.delete(name);
    else url.searchParams.set(name, value);
    url.search = url.search.replaceAll("%2C", ",");
    history.replaceState(null, "", url);
    this.changed();
  }

  get quality() {
    const said = this.asked("quality");
    return ["full", "low"].includes(said) ? said : "auto";
  }

  // The cameras to show, or null for all.
  get chosen() {
    const ids = (this.asked("cameras") ?? "").split(",").filter((id) => /^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$/.test(id));
    return ids.length ? [...new Set(ids)] : null;
  }

  get shown() {
    return this.chosen ?? this.known;
  }

  get alone() {
    const id = location.hash.slice(1);
    return this.shown.includes(id) ? id : null;
  }

  // Of what the server says of all cameras, what is to be seen.
  select(cameras) {
    this.known = cameras.map((camera) => camera.id);
    const nothing = { state: "unknown", label: null, fps: 0, fps_in: 0, age_p50_ms: null, last_frame_at: null };
    return this.chosen?.map((id) => cameras.find((camera) => camera.id === id) ?? { ...nothing, id }) ?? cameras;
  }

  // --- choosing cameras

  choose() {
    $("boxes").replaceChildren(...[...new Set([...this.known, ...this.shown])].map((id) => {
      const label = document.createElement("label");
      const box = Object.assign(document.createElement("input"), { type: "checkbox", value: id });
      label.append(box, id);
      return label;
    }));
    this.tick();
    $("chooser").showModal();
  }

  tick() {
    for (const box of $("boxes").querySelectorAll("input")) box.checked = this.shown.includes(box.value);
  }

  picked() {
    const boxes = [...$("boxes").querySelectorAll("input")];
    const ids = boxes.filter((box) => box.checked).map((box) => box.value);
    // Those that were chosen before keep their places; none chosen are all.
    const before = this.shown.filter((id) => ids.includes(id));
    this.pick(ids.length === boxes.length ? null : [...before, ...ids.filter((id) => !before.includes(id))]);
    if (!ids.length) this.tick();
  }

  pick(ids) {
    this.ask("cameras", ids?.length ? ids.join(",") : null);
  }

  // --- one camera alone

  mark() {
    const id = this.alone;
    document.body.classList.toggle("single", id !== null);
    $("back").hidden = id === null;
    for (const tile of document.querySelectorAll("#grid .tile")) {
      const camera = tile.dataset.camera;
      tile.classList.toggle("chosen", camera === id);
      const link = tile.querySelector(".picture");
      const href = camera === id ? "#" : `#${camera}`;
      if (link.getAttribute("href") === href) continue;
      link.setAttribute("href", href);
      link.setAttribute("aria-label", camera === id ? "Show all cameras" : `Show ${camera} alone`);
    }
    const count = this.shown.length;
    const [wide, high] = [innerWidth, innerHeight];
    document.body.style.setProperty("--columns", Math.max(1, Math.round(Math.sqrt((count * wide * 10) / (high * 16)))));
    document.body.classList.toggle("many", count > 4);
  }

  turn() {
    const before = document.querySelector(".tile.chosen");
    this.changed();
    (document.querySelector(".tile.chosen") ?? before)?.querySelector(".picture").focus({ preventScroll: this.alone !== null });
  }

  show(id) {
    location.hash = id ?? "";
  }

  // --- the full screen, of one camera or of all

  fill(id = this.alone) {
    if (!document.fullscreenEnabled) return;
    this.leaveAlone = id !== null && id !== this.alone;
    if (this.leaveAlone) this.show(id);
    document.documentElement.requestFullscreen({ navigationUI: "hide" }).catch(() => {});
  }

  filled() {
    const full = document.fullscreenElement !== null;
    document.body.classList.toggle("filled", full);
    $("full").setAttribute("aria-pressed", full);
    if (!full && this.leaveAlone) this.show(null);
    this.changed();
  }

  // --- keys

  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("dialog, select, input")) return;
    const done = this.press(event.key, event.target.closest(".tile"));
    if (done) event.preventDefault();
  }

  press(key, tile) {
    const inPlace = this.shown[Number(key) - 1];
    const action = {
      0: () => this.show(null),
      "?": () => $("keys").showModal(),
      c: () => this.choose(),
      f: () => (document.fullscreenElement ? document.exitFullscreen() : this.fill(tile?.dataset.camera)),
      p: () => $("pause").click(),
      Escape: this.alone !== null && (() => this.show(null)),
    }[key] ?? (inPlace && (() => this.show(inPlace)));
    if (action) action();
    return action ? true : this.alone === null ? this.step(key, tile) : this.next(key);
  }

  // One camera alone: to its neighbour.
  next(key) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
    if (!step) return false;
    const ids = this.shown;
    this.show(ids[(ids.indexOf(this.alone) + step + ids.length) % ids.length]);
    return true;
  }

  // The wall: to the tile beside, above or below.
  step(key, tile) {
    const all = links();
    const now = all.indexOf(tile?.querySelector(".picture"));
    const columns = all.filter((link) => link.getBoundingClientRect().top === all[0].getBoundingClientRect().top).length;
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -now, End: all.length - 1 - now };
    if (!(key in steps) || !all.length || (now < 0 && Math.abs(steps[key]) !== 1)) return false;
    all[Math.min(Math.max(now + steps[key], 0), all.length - 1)].focus();
    return true;
  }
}
