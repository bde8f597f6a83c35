// The columns of the page that show streams: frames (the input, its reconstruction, where the window is), codes (winners, drives,
// weights) and activations (activations, coverage, prototypes). Each has show(clip, frame) for every frame, refresh() for what comes
// more slowly, and destroy().

import { largest } from "./clip.js";
import { Chart } from "./chart.js";
import { count, el, number, setText, settings } from "./dom.js";
import { Raster, themed, tileOrder } from "./raster.js";

const plural = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;

/** What they share: an element with a heading, and rasters to be taken away in the end. */
class Section {
  constructor(stream, app, about) {
    Object.assign(this, { stream, app, parts: [] });
    const kind = stream.stage && stream.stage !== stream.name ? `${stream.stage}, ` : "";
    const heading = el("h2", {}, stream.name, " ", el("span", { text: kind + about }));
    this.element = el("section", { class: `column ${stream.kind}`, data: { stream: stream.name } }, heading);
  }

  add(part, into = this.element) {
    this.parts.push(part);
    into.append(part.figure);
    return part;
  }

  /** A line that says of when the weights are with which something was computed; see date(). */
  note() {
    const note = el("p", { class: "dated-note", hidden: true });
    this.element.append(note);
    return note;
  }

  date(note, what, layer) {
    const age = this.app.ageOf(layer);
    note.hidden = age === "";
    setText(note, age === "" ? "" : `${what} with the weights ${age}`);
  }

  row(name) {
    const row = el("div", { class: `row ${name}` });
    this.element.append(row);
    return row;
  }

  refresh() {}

  destroy() {
    this.parts.forEach((part) => part.destroy());
    this.element.remove();
  }
}

/** A weight map that comes later and may change its shape: an empty place until then. */
class WeightMap {
  constructor(section, { kind, title, own }) {
    Object.assign(this, { section, kind, title });
    this.empty = el("p", { class: "empty", text: `${title}: nothing has come yet.` });
    this.own = settings.get(`own.${kind}`, "no") === "yes";
    this.choice = own
      ? el(
          "label",
          { class: "choice" },
          el("input", { type: "checkbox", on: { change: (event) => this.choose(event) } }),
          " each unit its own scale",
        )
      : null;
    if (this.choice) this.choice.firstChild.checked = this.own;
  }

  choose(event) {
    this.own = event.target.checked;
    settings.set(`own.${this.kind}`, this.own ? "yes" : "no");
    this.paint();
  }

  /** The raster for a layer of this shape, made anew when the shape is another one. */
  rasterFor(layer) {
    const rows = Math.ceil(layer.data.length / layer.cols / layer.grid[0]);
    const shape = [layer.grid[0], rows, ...layer.input].join();
    if (shape === this.shape) return;
    const { section } = this;
    const old = this.raster;
    this.shape = shape;
    this.order = tileOrder([layer.grid[0], rows], layer.input);
    this.raster = new Raster({
      title: this.title,
      width: layer.grid[0] * layer.input[0],
      height: rows * layer.input[1],
      grid: [layer.grid[0], rows],
      data: { stream: section.stream.name, what: this.kind },
      pick: (unit) => section.app.openUnit(section.stream.name, unit),
      describe: (unit) => `unit ${unit} (${unit % layer.grid[0]}, ${Math.floor(unit / layer.grid[0])})`,
      mark: ({ box }) => box(section.app.chosen(section.stream.name), themed("--mark"), 2),
    });
    this.raster.figure.classList.add("dated");
    if (this.choice) this.raster.figure.append(this.choice);
    (old?.figure ?? this.empty).replaceWith(this.raster.figure);
    old?.destroy();
  }

  refresh() {
    const layer = this.section.app.store.layers.get(this.section.stream.name)?.[this.kind];
    if (layer && layer === this.layer && this.raster) this.name();
    if (!layer || (layer === this.layer && this.raster)) return this.raster?.paintOver();
    this.layer = layer;
    this.rasterFor(layer);
    this.paint();
  }

  paint() {
    const { layer, raster, order } = this;
    if (!layer || !raster) return;
    const per = layer.cols;
    const most = Float64Array.from({ length: this.own ? layer.data.length / per : 0 }, (_, unit) =>
      largest(layer.data.subarray(unit * per, (unit + 1) * per)),
    );
    const limits = this.own ? { most, per } : null;
    this.name();
    raster.paint(layer.data, { max: 255, says: layer.max, order, limits, data: { seq: layer.seq, top: layer.max } });
  }

  /** The title, with what is left out and of when the weights are. */
  name() {
    const { layer, section } = this;
    const shown = layer.data.length / layer.cols;
    const part = shown < layer.rows ? `${this.title} of the first ${plural(shown, "unit")}` : this.title;
    const age = section.app.ageOf(section.stream.name);
    this.raster.retitle(age ? `${part}, ${age}` : part);
  }

  get figure() {
    return this.raster?.figure ?? this.empty;
  }

  destroy() {
    this.raster?.destroy();
  }
}

/** Where the window is: on the tapestry, or the path alone where none is known. */
class Place {
  constructor(section) {
    this.section = section;
    this.make(null);
  }

  make(tapestry) {
    const old = this.raster;
    const [height, width] = tapestry?.picture.shape ?? [128, 128];
    this.tapestry = tapestry;
    this.raster = new Raster({
      title: tapestry ? "Tapestry" : "Path of the window",
      width,
      height,
      scale: false,
      plain: true,
      data: { stream: this.section.stream.name, what: "place" },
      mark: (over) => this.mark(over),
    });
    this.raster.paint(tapestry?.picture.data ?? new Uint8Array(width * height), { max: 255 });
    old?.figure.replaceWith(this.raster.figure);
    old?.destroy();
  }

  get figure() {
    return this.raster.figure;
  }

  refresh() {
    const { tapestry } = this.section.app.store;
    if (tapestry !== this.tapestry) this.make(tapestry);
  }

  show(clip, frame) {
    this.at = clip.all(`${this.section.stream.name}/at`, 2);
    this.frame = frame;
    this.raster.figure.hidden = this.at === null;
    if (this.at === null) return;
    const [x, y] = [this.at[2 * frame], this.at[2 * frame + 1]];
    this.raster.note.textContent = `window at ${x}, ${y}`;
    this.raster.paintOver();
  }

  /** From the window's pixels to the raster's cells. */
  transform() {
    if (this.tapestry) {
      const { scale } = this.tapestry;
      return ([x, y]) => [x / scale, y / scale];
    }
    const xs = this.at.filter((_, i) => i % 2 === 0);
    const ys = this.at.filter((_, i) => i % 2 === 1);
    const [left, top] = [Math.min(...xs), Math.min(...ys)];
    const [h, w] = this.section.stream.shape;
    const span = Math.max(Math.max(...xs) - left + w, Math.max(...ys) - top + h);
    const k = 0.9 * (128 / span);
    return ([x, y]) => [(x - left) * k + 6, (y - top) * k + 6];
  }

  mark({ line, rectangle }) {
    if (!this.at) return;
    const to = this.transform();
    const [h, w] = this.section.stream.shape;
    const centre = (i) => [this.at[2 * i] + w / 2, this.at[2 * i + 1] + h / 2];
    // A path that leaves over an edge of the periodic picture comes in at the other one: cut it there. Where no period is
    // known, a step twenty times as long as nearly all others counts as such.
    const steps = Array.from({ length: this.at.length / 2 }, (_, i) => {
      const [a, b] = [centre(Math.max(i - 1, 0)), centre(i)];
      return Math.hypot(a[0] - b[0], a[1] - b[1]);
    });
    const usual = Math.max(...[...steps].sort((a, b) => a - b).slice(0, Math.ceil(0.9 * steps.length)), 1);
    const far = this.tapestry?.period ? Math.min(...this.tapestry.period) / 2 : 20 * usual;
    const path = (from, until) => {
      const points = [];
      for (let i = from; i <= until; i++) points.push([...to(centre(i)), steps[i] > far]);
      return points;
    };
    line(path(this.frame, this.at.length / 2 - 1), themed("--ahead"), 1);
    line(path(0, this.frame), themed("--mark"), 1.5);
    const [x, y] = to([this.at[2 * this.frame], this.at[2 * this.frame + 1]]);
    const [x2, y2] = to([this.at[2 * this.frame] + w, this.at[2 * this.frame + 1] + h]);
    rectangle(x, y, x2 - x, y2 - y, themed("--mark"), 1.5);
  }

  destroy() {
    this.raster.destroy();
  }
}

/** Input beside the reconstruction that one sparse layer makes of it, and the error, now and over the clip. */
class Reconstruction {
  constructor(section, reader) {
    Object.assign(this, { section, reader });
    const [height, width] = section.stream.shape;
    const size = { width, height, scale: false };
    const row = section.row("three");
    const name = section.stream.name;
    this.input = section.add(new Raster({ ...size, title: "Input", data: { stream: name, what: "data" } }), row);
    if (!reader) return;
    const data = (what) => ({ stream: reader.name, what });
    this.made = section.add(new Raster({ ...size, title: "Reconstruction", data: data("reconstruction") }), row);
    this.rest = section.add(new Raster({ ...size, title: "Error", signed: true, data: data("error") }), row);
    this.dated = section.note();
    const title = "Error over the clip";
    this.curve = section.add(new Chart({ title, xText: (x) => `frame ${count(x)}`, xTick: count, height: 64 }));
  }

  show(clip, frame) {
    const { stream } = this.section;
    const size = stream.shape[0] * stream.shape[1];
    const data = { seq: clip.seq + frame };
    const raw = clip.row(`${stream.name}/data`, frame, size);
    if (raw) this.input.paint(raw, { max: raw instanceof Uint8Array ? 255 : 1, data });
    if (!this.reader) return;
    const name = `${this.reader.name}/reconstruction`;
    const made = clip.row(name, frame, size);
    const errors = clip.once(`errors ${this.reader.name}`, () => this.errors(clip, size));
    for (const part of [this.made, this.rest, this.curve]) part.figure.hidden = made === null || errors === null;
    if (made === null || errors === null) return;
    this.made.paint(made, { max: 1, data });
    this.rest.paint(errors.rest.subarray(frame * size, (frame + 1) * size), { max: errors.max, data });
    if (this.clip !== clip) {
      const x = Array.from({ length: clip.n }, (_, i) => clip.seq + i);
      this.curve.set(x, [{ name: "|v\u2009\u2212\u2009r|\u00b2 / |v|\u00b2", colour: "--c0", y: errors.relative }]);
    }
    this.clip = clip;
    this.curve.follow(frame);
  }

  /** v - r of all frames of a clip, its largest absolute value, and |v - r|² / |v|² of each frame. */
  errors(clip, size) {
    const v = clip.unitValues(`${this.section.stream.name}/data`, size);
    const r = clip.all(`${this.reader.name}/reconstruction`, size);
    if (!v || !r) return null;
    const rest = v.map((value, i) => value - r[i]);
    const relative = Array.from({ length: clip.n }, (_, frame) => {
      let [error, power] = [0, 0];
      for (let i = frame * size; i < (frame + 1) * size; i++) {
        error += rest[i] * rest[i];
        power += v[i] * v[i];
      }
      return power > 0 ? error / power : NaN;
    });
    return { rest, relative, max: largest(rest) };
  }
}

export class FramesSection extends Section {
  constructor(stream, app) {
    super(stream, app, `${stream.shape[1]} \u00d7 ${stream.shape[0]} pixels`);
    const readers = app.store.scene.streams.filter((other) => other.kind === "codes" && other.from === stream.name);
    this.rows = (readers.length > 0 ? readers : [null]).map((reader) => new Reconstruction(this, reader));
    this.place = stream.at ? this.add(new Place(this)) : null;
  }

  show(clip, frame) {
    this.rows.forEach((row) => row.show(clip, frame));
    this.place?.show(clip, frame);
  }

  refresh() {
    this.place?.refresh();
    for (const { reader, dated } of this.rows) if (reader) this.date(dated, "Reconstruction and error", reader.name);
  }
}

export class CodesSection extends Section {
  constructor(stream, app) {
    const [x, y] = stream.grid;
    const winners = stream.winners ? `, ${plural(stream.winners, "winner")}` : "";
    super(stream, app, `${x} \u00d7 ${y} units${winners}`);
    this.units = x * y;
    this.won = new Float32Array(this.units);
    const row = this.row("two");
    const grid = { width: x, height: y, grid: [x, y], pick: (unit) => app.openUnit(stream.name, unit) };
    const chosen = ({ box }) => box(app.chosen(stream.name), themed("--mark"), 2);
    this.winners = this.add(
      new Raster({
        ...grid,
        title: "Winners",
        data: { stream: stream.name, what: "winners" },
        describe: (u) => this.say(this.won, u),
        mark: chosen,
      }),
      row,
    );
    this.drives = this.add(
      new Raster({
        ...grid,
        title: "Drives",
        data: { stream: stream.name, what: "drive" },
        describe: (u) => this.say(this.drive, u),
        mark: (over) => {
          this.index?.forEach((unit) => over.box(unit, themed("--mark"), 1));
          chosen(over);
        },
      }),
      row,
    );
    this.dated = this.note();
    this.weights = this.add(new WeightMap(this, { kind: "weights", title: "Weights", own: true }));
  }

  say(values, unit) {
    return values ? `${unit}: ${number(values[unit])}` : `unit ${unit}`;
  }

  show(clip, frame) {
    const { name } = this.stream;
    const k = clip.width(`${name}/index`);
    const data = { seq: clip.seq + frame };
    this.index = clip.row(`${name}/index`, frame, k);
    this.drive = clip.row(`${name}/drive`, frame, this.units);
    const value = clip.row(`${name}/value`, frame, k);
    this.winners.figure.hidden = !this.index || k === 0;
    this.drives.figure.hidden = !this.drive;
    this.won.fill(0);
    this.index?.forEach((unit, i) => {
      if (unit < this.units) this.won[unit] = this.drive ? this.drive[unit] : (value?.[i] ?? 1);
    });
    const max = this.drive ? clip.max(`${name}/drive`) : value ? clip.max(`${name}/value`) : 1;
    this.winners.paint(this.won, { max, data });
    if (this.drive) this.drives.paint(this.drive, { max, data });
    this.winners.renote();
    this.drives.renote();
  }

  refresh() {
    this.weights.refresh();
    this.date(this.dated, "Drives", this.stream.name);
    if (this.drives.figure.hidden) this.dated.hidden = true;
    this.winners.paintOver();
  }
}

export class ActivationsSection extends Section {
  constructor(stream, app) {
    const [x, y] = stream.grid;
    super(stream, app, `${x} \u00d7 ${y} units`);
    this.units = x * y;
    this.pairs = this.row("two");
    const chosen = ({ box }) => box(app.chosen(stream.name), themed("--mark"), 2);
    const pick = (unit) => app.openUnit(stream.name, unit);
    this.now = this.add(
      new Raster({
        title: "Activations",
        width: x,
        height: y,
        grid: [x, y],
        data: { stream: stream.name, what: "data" },
        describe: (unit) => (this.values ? `${unit}: ${number(this.values[unit])}` : `unit ${unit}`),
        pick,
        mark: chosen,
      }),
      this.pairs,
    );
    this.prototypes = this.add(new WeightMap(this, { kind: "prototypes", title: "Prototypes", own: true }));
    this.time = null;
  }

  show(clip, frame) {
    const name = `${this.stream.name}/data`;
    this.values = clip.row(name, frame, this.units);
    this.now.figure.hidden = !this.values;
    if (!this.values) return;
    this.now.signed = clip.once(`signed ${name}`, () => clip.all(name, this.units).some((value) => value < 0));
    this.now.paint(this.values, { max: clip.max(name), data: { seq: clip.seq + frame } });
    this.now.renote();
    this.showTime(clip, frame, name);
  }

  /** All units over the clip, a line a unit: how slowly each follows. */
  showTime(clip, frame, name) {
    this.frame = frame;
    if (!this.time || this.time.width !== clip.n) {
      this.time?.figure.remove();
      this.time?.destroy();
      this.time = new Raster({
        title: "Activations over the clip",
        width: clip.n,
        height: this.units,
        data: { stream: this.stream.name, what: "time" },
        mark: ({ line }) =>
          line(
            [
              [this.frame + 0.5, 0],
              [this.frame + 0.5, this.units],
            ],
            themed("--mark"),
            1,
          ),
      });
      this.time.figure.classList.add("flat");
      this.element.append(this.time.figure);
      this.order = Uint32Array.from(
        { length: clip.n * this.units },
        (_, i) => (i % clip.n) * this.units + Math.floor(i / clip.n),
      );
      this.clip = null;
    }
    if (this.clip === clip) return this.time.paintOver();
    this.clip = clip;
    const all = clip.all(name, this.units);
    this.time.signed = this.now.signed;
    this.time.paint(all, { max: clip.max(name), order: this.order });
  }

  refresh() {
    this.prototypes.refresh();
    this.now.paintOver();
    const coverage = this.app.store.layers.get(this.stream.name)?.coverage;
    if (this.dated) this.date(this.dated, "Coverage", this.stream.name);
    if (!coverage || coverage === this.coverage) return this.map?.paintOver();
    this.coverage = coverage;
    if (!this.map || this.map.grid.join() !== coverage.grid.join()) this.makeCoverage(coverage);
    this.map.paint(coverage.data, { max: largest(coverage.data), data: { seq: coverage.seq ?? "" } });
    this.date(this.dated, "Coverage", this.stream.name);
    this.least.replaceChildren(...this.extreme("least", coverage.least), ...this.extreme("most", coverage.most));
  }

  makeCoverage({ grid }) {
    const { stream, app } = this;
    if (this.map) {
      this.map.figure.remove();
      this.map.destroy();
    }
    const below = stream.from ?? "";
    this.map = this.add(
      new Raster({
        title: "Coverage",
        width: grid[0],
        height: grid[1],
        grid,
        data: { stream: stream.name, what: "coverage" },
        describe: (unit) => `${unit}: ${number(this.coverage.data[unit])}`,
        pick: (unit) => app.openUnit(below, unit),
        mark: ({ box }) => {
          box(this.coverage?.least?.unit, themed("--c0"), 1.5);
          box(this.coverage?.most?.unit, themed("--c1"), 1.5);
          box(app.chosen(below), themed("--mark"), 2);
        },
      }),
      this.pairs,
    );
    this.least ??= el("p", { class: "extremes" });
    this.dated ??= this.note();
    this.pairs.after(this.least, this.dated);
  }

  extreme(word, one) {
    if (!Number.isInteger(one?.unit)) return [];
    const open = () => this.app.openUnit(this.stream.from ?? "", one.unit);
    const link = el("button", { type: "button", class: "link", on: { click: open }, text: String(one.unit) });
    return [el("span", {}, el("i", { class: `swatch ${word}` }), `${word} `, link, ` ${number(one.value)}`)];
  }

  destroy() {
    this.time?.destroy();
    super.destroy();
  }
}
