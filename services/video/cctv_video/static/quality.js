// How large pictures are asked for, and how many: as the line allows.

// From what a tile shows and all that the camera sends, to a wall of 16 on a third of a megabit.
const LEVELS = [
  { scale: 1, fps: null },
  { scale: 1, fps: 5 },
  { scale: 1 / 2, fps: 5 },
  { scale: 1 / 2, fps: 2 },
  { scale: 1 / 4, fps: 2 },
  { scale: 1 / 4, fps: 1 },
];
const SAVING = 3;
const SPAN = 3; // seconds that are looked at together
const PATIENCE_S = 15; // before more is tried
const MOST_PATIENCE_S = 300;

export class Quality {
  level = navigator.connection?.saveData ? SAVING : 0;
  patience = PATIENCE_S;
  samples = [];
  good = 0;

  constructor(mode) {
    this.mode = mode;
  }

  // The query for tiles of so many pixels; the server makes only a few sizes, and the same ones for all.
  query(pixels) {
    if (this.mode === "full") return "";
    const { scale, fps } = LEVELS[this.mode === "low" ? SAVING : this.level];
    const width = Math.max(160, Math.ceil((pixels * scale) / 80) * 80);
    return `width=${Math.min(width, 7680)}${fps ? `&fps=${fps}` : ""}`;
  }

  // Pictures that came in the last second, and those that cameras had; true when another level should be asked for.
  learn(came, rates) {
    if (this.mode !== "auto") return false;
    const most = LEVELS[this.level].fps ?? Infinity;
    const expected = rates.reduce((sum, rate) => sum + Math.min(rate, most), 0);
    this.samples.push([came, expected]);
    if (this.samples.length <= SPAN) return false; // the first second of a stream says little
    this.samples.shift();
    const [all, due] = this.samples.reduce(([a, b], [c, d]) => [a + c, b + d], [0, 0]);
    if (due === 0) return false;
    this.good = all >= 0.9 * due ? this.good + 1 : 0;
    if (all < 0.7 * due && this.level < LEVELS.length - 1) {
      // More was tried too early: longer until the next time.
      if (this.rose) this.patience = Math.min(2 * this.patience, MOST_PATIENCE_S);
      return this.change(1);
    }
    if (this.good >= this.patience && this.level > 0) return this.change(-1);
    if (this.good >= PATIENCE_S) this.rose = false;
    return false;
  }

  change(step) {
    this.level += step;
    this.rose = step < 0;
    this.restart();
    return true;
  }

  // What came before says nothing of what comes now.
  restart() {
    this.samples = [];
    this.good = 0;
  }
}
