// A picture of numbers: one value a cell, drawn with nearest-neighbour scaling through a colour map, with a caption, its scale, an
// overlay for marks, and units that can be pointed at, by mouse, finger or keyboard.
//
// The values become a small picture of one pixel a cell (ImageData), which is copied to the canvas enlarged by a whole number: the
// smallest one that is not below the size on the screen. The browser shrinks what is left over, so that cells stay of equal size at
// any width and any pixel density. Cell (x, y) of a canvas is the square of `data-cell` pixels at (x, y) * data-cell.

import { el, iconButton, number, setText } from "./dom.js";
import { colours, signedColours } from "./palette.js";
import { savePicture } from "./save.js";

const SIDE_MAX = 2048; // pixels of a canvas' side, beyond which it is not enlarged

const rasters = new Set(); // all there are, to be painted again when the colours change
const variables = new Map(); // of the style sheet, as long as the theme lasts
let map = "grey";

/** Another colour map, or another theme: paint everything again. */
export function repaintAll(name = map) {
  map = name;
  variables.clear();
  for (const raster of rasters) raster.repaint();
}

/** The colour of a variable of the style sheet. */
export function themed(name) {
  if (!variables.has(name))
    variables.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
  return variables.get(name);
}

export class Raster {
  /**
   * `title`; `width`, `height` in cells; `signed`: zero in the middle of a diverging map; `plain`: always grey; `data`: data-
   * attributes of the canvas; `scale` false: no colour bar.
   *
   * `grid` [x, y]: units lie on this grid over the picture and can be chosen; then `describe(unit)` is the text for one that is
   * pointed at and `pick(unit)` is called when it is chosen.
   *
   * `mark(over)` draws on top, in cells: over.box(unit, colour, width), over.rectangle(x, y, w, h, colour, width) and
   * over.line(points, colour, width), where a point is [x, y, whether a new line begins there].
   */
  constructor(options) {
    Object.assign(this, { signed: false, grid: null, scale: true, data: {} }, options);
    this.last = null;
    this.pointed = null;
    this.build();
    this.resize(this.width, this.height);
    rasters.add(this);
    this.observer = new ResizeObserver(() => this.fit());
    this.observer.observe(this.frame);
  }

  build() {
    const controls = el(
      "span",
      { class: "tools" },
      iconButton("enlarge", `Enlarge ${this.title}`, () => this.enlarge()),
      iconButton("save", `Save ${this.title} as PNG`, () => savePicture(this.figure, this.title)),
    );
    this.note = el("span", { class: "note" });
    this.bar = el("canvas", { class: "bar", width: 64, height: 1, "aria-hidden": "true" });
    this.low = el("span");
    this.high = el("span", { text: "" });
    this.scaleBox = this.scale ? el("span", { class: "scale" }, this.low, this.bar, this.high) : null;
    this.canvas = el("canvas", { class: "cells", role: "img", "aria-label": this.title, data: this.data });
    this.over = el("canvas", { class: "over", "aria-hidden": "true" });
    this.frame = el("div", { class: "frame" }, this.canvas, this.over, controls);
    this.head = el("span", { class: "title", text: this.title });
    const caption = el("figcaption", {}, this.head, this.note, this.scaleBox);
    this.figure = el("figure", { class: "raster" + (this.grid ? " units" : "") }, caption, this.frame);
    this.cells = el("canvas"); // one pixel a cell
    if (this.grid) this.listen();
  }

  retitle(title) {
    this.title = title;
    setText(this.head, title);
    this.canvas.setAttribute("aria-label", title);
  }

  /** Cells of the picture; the canvases follow. */
  resize(width, height) {
    Object.assign(this, { width, height });
    this.cells.width = width;
    this.cells.height = height;
    this.image = new ImageData(width, height);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.frame.style.aspectRatio = `${width} / ${height}`;
    this.fit();
  }

  /** Choose the whole number by which the cells are enlarged, from the size on the screen. */
  fit() {
    const box = this.frame.getBoundingClientRect();
    const density = window.devicePixelRatio || 1;
    const wanted = Math.ceil((box.width * density) / this.width - 0.01);
    const most = Math.max(1, Math.floor(SIDE_MAX / Math.max(this.width, this.height)));
    const cell = Math.max(1, Math.min(wanted, most));
    if (this.canvas.width !== this.width * cell || this.canvas.height !== this.height * cell) {
      this.canvas.width = this.width * cell;
      this.canvas.height = this.height * cell;
    }
    this.cell = cell;
    this.canvas.dataset.cell = cell;
    const [width, height] = [Math.round(box.width * density), Math.round(box.height * density)];
    if (this.over.width !== width || this.over.height !== height) {
      this.over.width = width;
      this.over.height = height;
    }
    if (box.width > 0) this.repaint();
  }

  /**
   * Paint `values` (one a cell, row by row). `max`: the value that is white (or the strongest colour); `order[cell]`: where in
   * `values` a cell's value lies, if not at its own number; `limits`: {most, per}, a maximum for every `per` values instead of one;
   * `says`: what the scale calls the maximum; `data`: data- attributes.
   */
  paint(values, { max, says = max, order = null, limits = null, data = {} }) {
    this.last = [values, { max, says, order, limits, data }];
    const table = this.signed
      ? signedColours(document.documentElement.dataset.theme)
      : colours(this.plain ? "grey" : map);
    const one = max > 0 ? 255 / max : 0;
    for (let cell = 0; cell < this.pixels.length; cell++) {
      const at = order ? order[cell] : cell;
      const k = limits ? 255 / (limits.most[Math.floor(at / limits.per)] || Infinity) : one;
      const level = this.signed ? 127.5 + (values[at] * k) / 2 : values[at] * k;
      this.pixels[cell] = table[level > 0 ? Math.min(255, Math.round(level)) : 0];
    }
    this.cells.getContext("2d").putImageData(this.image, 0, 0);
    const context = this.canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.drawImage(this.cells, 0, 0, this.canvas.width, this.canvas.height);
    Object.assign(this.canvas.dataset, data, { max });
    this.paintScale(says, table);
    this.paintOver();
  }

  repaint() {
    if (this.last) this.paint(...this.last);
    else this.paintOver();
  }

  paintScale(max, table) {
    if (!this.scaleBox) return;
    setText(this.low, this.signed ? number(-max, 2) : "0");
    setText(this.high, this.last[1].limits ? "each its own" : number(max, 2));
    if (this.barTable === table) return;
    this.barTable = table;
    const image = new ImageData(64, 1);
    new Uint32Array(image.data.buffer).set(Array.from({ length: 64 }, (_, i) => table[Math.round((i * 255) / 63)]));
    this.bar.getContext("2d").putImageData(image, 0, 0);
  }

  paintOver() {
    const context = this.over.getContext("2d");
    if (this.marked) context.clearRect(0, 0, this.over.width, this.over.height);
    this.marked = false; // so that one without marks costs nothing
    const [sx, sy] = [this.over.width / this.width, this.over.height / this.height];
    const density = window.devicePixelRatio || 1;
    const line = (points, colour, width = 1.5) => {
      this.marked = true;
      context.strokeStyle = colour;
      context.lineWidth = width * density;
      context.lineJoin = "round";
      context.beginPath();
      points.forEach(([x, y, cut], i) =>
        i === 0 || cut ? context.moveTo(x * sx, y * sy) : context.lineTo(x * sx, y * sy),
      );
      context.stroke();
    };
    const rectangle = (x, y, w, h, colour, width = 1.5) => {
      this.marked = true;
      context.strokeStyle = colour;
      context.lineWidth = width * density;
      context.strokeRect(x * sx, y * sy, w * sx, h * sy);
    };
    const box = (unit, colour, width) => {
      if (!this.grid || unit === null || unit === undefined || unit < 0) return;
      const [w, h] = [this.width / this.grid[0], this.height / this.grid[1]];
      rectangle((unit % this.grid[0]) * w, Math.floor(unit / this.grid[0]) * h, w, h, colour, width);
    };
    this.mark?.({ line, rectangle, box });
    box(this.pointed, themed("--pointer"), 1.5);
  }

  /** The unit under a pointer. */
  unitAt(event) {
    const box = this.frame.getBoundingClientRect();
    const x = Math.floor(((event.clientX - box.left) / box.width) * this.grid[0]);
    const y = Math.floor(((event.clientY - box.top) / box.height) * this.grid[1]);
    return x >= 0 && y >= 0 && x < this.grid[0] && y < this.grid[1] ? y * this.grid[0] + x : null;
  }

  point(unit) {
    if (unit === this.pointed) return;
    this.pointed = unit;
    this.renote();
    this.paintOver();
  }

  /** Write again what is said of the unit pointed at. */
  renote() {
    if (this.grid)
      setText(this.note, this.pointed === null ? "" : (this.describe?.(this.pointed) ?? `unit ${this.pointed}`));
  }

  listen() {
    const [x, y] = this.grid;
    this.frame.tabIndex = 0;
    this.frame.setAttribute("role", "application");
    this.frame.setAttribute(
      "aria-label",
      `${this.title}: ${x} by ${y} units. Arrow keys point at a unit, Enter opens it.`,
    );
    this.frame.addEventListener("pointermove", (event) => this.point(this.unitAt(event)));
    this.frame.addEventListener("pointerleave", () => this.point(null));
    this.frame.addEventListener("blur", () => this.point(null));
    this.frame.addEventListener("click", (event) => {
      const unit = event.target.closest("button") ? null : this.unitAt(event);
      if (unit !== null) this.pick?.(unit);
    });
    this.frame.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -x, ArrowDown: x }[event.key];
      if (event.target !== this.frame || (by === undefined && event.key !== "Enter")) return;
      if (by !== undefined) this.point(((this.pointed ?? -by) + by + x * y) % (x * y));
      else if (this.pointed !== null) this.pick?.(this.pointed);
      event.preventDefault();
      event.stopPropagation();
    });
  }

  /** As large as the page, or back. */
  enlarge() {
    const large = this.figure.classList.toggle("large");
    document.body.classList.toggle("enlarged", large);
    this.frame.style.setProperty("--ratio", this.width / this.height);
    this.fit();
  }

  destroy() {
    if (this.figure.classList.contains("large")) this.enlarge();
    this.observer.disconnect();
    rasters.delete(this);
  }
}

/** Put the figure that is as large as the page back; false if there is none. */
export function shrinkAll() {
  const large = [...rasters].filter((raster) => raster.figure.classList.contains("large"));
  large.forEach((raster) => raster.enlarge());
  return large.length > 0;
}

/**
 * For a map of tiles, a unit's weights each: from a cell's number to the place of its value in a matrix with a row a unit.
 * `grid` [columns, rows] of units, `input` [width, height] of a tile. As an array, since it is used for every paint.
 */
export function tileOrder([columns, rows], [w, h]) {
  const order = new Uint32Array(columns * w * rows * h);
  let cell = 0;
  for (let y = 0; y < rows * h; y++) {
    for (let x = 0; x < columns * w; x++) {
      const unit = Math.floor(y / h) * columns + Math.floor(x / w);
      order[cell++] = unit * w * h + (y % h) * w + (x % w);
    }
  }
  return order;
}
