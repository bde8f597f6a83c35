// A small chart: lines over one x and one scale, linear or logarithmic as the numbers ask, markers where there are several lines, and
// the values under the pointer in the caption. Own code, since this is all it has to do: a library of 50 KB would
// still leave the captions, the printed picture and the colours to us.

import { el, iconButton, number, setText } from "./dom.js";
import { themed } from "./raster.js";
import { savePicture } from "./save.js";

const charts = new Set();
const LINE = 12; // pixels from one label of an axis to the next, at least
const MARKED_MAX = 20; // points up to which each has its marker; of more, the last one alone
const LOG_FROM = 30; // largest / smallest beyond which an axis of positive numbers is logarithmic

/** Markers: in the legend, and as a path around 0, 0 that reaches about 3 to each side. */
export const MARKERS = [
  { text: "\u25cf", path: (context) => context.arc(0, 0, 2.8, 0, 2 * Math.PI) },
  { text: "\u25b2", path: (context) => polygon(context, [0, -3.6, 3.4, 2.6, -3.4, 2.6]) },
  { text: "\u25a0", path: (context) => polygon(context, [-2.7, -2.7, 2.7, -2.7, 2.7, 2.7, -2.7, 2.7]) },
  { text: "\u25c6", path: (context) => polygon(context, [0, -3.8, 3.8, 0, 0, 3.8, -3.8, 0]) },
  { text: "\u25bc", path: (context) => polygon(context, [0, 3.6, 3.4, -2.6, -3.4, -2.6]) },
  { text: "\u2716", path: (context) => polygon(context, [-3, -1, -1, -3, 0, -1.6, 1, -3, 3, -1, 1.6, 0, 3, 1, 1, 3, 0, 1.6, -1, 3, -3, 1, -1.6, 0]) },
];

/** A closed path through x, y, x, y, ... */
function polygon(context, points) {
  context.moveTo(points[0], points[1]);
  for (let i = 2; i < points.length; i += 2) context.lineTo(points[i], points[i + 1]);
  context.closePath();
}

export function repaintCharts() {
  for (const chart of charts) chart.draw();
}

/** About `n` round numbers from `low` to `high`. */
export function linearTicks(low, high, n) {
  const raw = (high - low) / n;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((k) => k * power).find((k) => k >= raw * 0.999);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++)
    ticks.push(Number((k * step).toPrecision(12)));
  return ticks;
}

/** Powers of ten from `low` to `high`, at most `n` of them; where there are not even two, 2 and 5 times these as well. */
export function logTicks(low, high, n) {
  const [from, to] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const powers = Array.from({ length: to - from + 1 }, (_, i) => from + i);
  const within = (tick) => tick >= low && tick <= high;
  const tens = powers.map((power) => Number(`1e${power}`)).filter(within);
  if (tens.length >= 2) return tens.filter((_, i) => i % Math.ceil(tens.length / n) === 0);
  return powers.flatMap((power) => [1, 2, 5].map((time) => Number(`${time}e${power}`))).filter(within);
}

/** Numbers as text, with as many digits as it takes to tell them apart. */
export function tickTexts(ticks) {
  for (let digits = 2; digits < 7; digits++) {
    const texts = ticks.map((tick) => number(tick, digits));
    if (new Set(texts).size === ticks.length) return texts;
  }
  return ticks.map(String);
}

/** The scale of an axis for these numbers: {low, high, log, ticks, at(value) from 0 to 1}, or null without any number. */
function axisOf(lists, fromZero) {
  let [low, high] = [Infinity, -Infinity];
  for (const list of lists) {
    for (const value of list) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  if (low > high) return null;
  if (fromZero && low > 0) low = 0;
  const log = low > 0 && high / low > LOG_FROM;
  if (log) {
    [low, high] = [low / 1.2, high * 1.2];
    const [a, b] = [Math.log10(low), Math.log10(high)];
    return { low, high, log, ticks: logTicks(low, high, 4), at: (value) => (Math.log10(value) - a) / (b - a) };
  }
  if (low > 0 && low < 0.6 * high) low = 0;
  const room = (high - low) * 0.08 || Math.abs(high) * 0.1 || 1;
  if (low !== 0) low -= room;
  high += room;
  return { low, high, log, ticks: linearTicks(low, high, 3), at: (value) => (value - low) / (high - low) };
}

export class Chart {
  /**
   * `title`; `fromZero`: the scale begins with 0 in any case; `xText(x)`: what a place on the x axis is called, `xTick(x)`: its
   * tick, `whole`: only whole numbers have one; `bridge`: where a line has no number it goes on straight to the next one, instead of
   * ending; `height` in CSS pixels; `data`: data- attributes of the canvas.
   */
  constructor({
    title,
    fromZero = false,
    xText = (x) => `pass ${x}`,
    xTick = String,
    height = 92,
    whole = true,
    bridge = false,
    data = {},
  }) {
    Object.assign(this, { title, fromZero, xText, xTick, whole, bridge, x: [], lines: [], pointed: null, place: null });
    this.legend = el("span", { class: "legend" });
    const tools = el(
      "span",
      { class: "tools" },
      iconButton("save", `Save ${title} as PNG`, () => savePicture(this.figure, title)),
    );
    this.canvas = el("canvas", { class: "chart", role: "img", "aria-label": title, data });
    this.canvas.style.height = `${height}px`;
    this.still = el("canvas"); // without what moves
    this.frame = el("div", { class: "frame" }, this.canvas, tools);
    this.head = el("span", { class: "title", text: title });
    this.figure = el("figure", { class: "curve" }, el("figcaption", {}, this.head, this.legend), this.frame);
    this.canvas.addEventListener("pointermove", (event) => this.pointAt(event));
    this.canvas.addEventListener("pointerleave", () => this.point(null));
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.canvas);
    charts.add(this);
  }

  /**
   * The common x and the lines: {name, colour (a variable of the style sheet), y (as long as x), dash: lengths of strokes and gaps,
   * marker: a number in MARKERS}; the last two only matter where there are several lines, and may be missing.
   */
  set(x, lines) {
    const names = lines.map((line) => [line.name, line.colour, line.marker]).join(";");
    if (names !== this.names) {
      this.names = names;
      this.values = lines.map(() => el("b"));
      this.legend.replaceChildren(
        ...lines.map((line, i) => {
          const sign = lines.length > 1 && line.marker !== undefined ? MARKERS[line.marker].text + " " : "";
          const key = el("span", { class: "key" }, `${sign}${line.name} `, this.values[i]);
          key.style.color = `var(${line.colour})`;
          return key;
        }),
      );
    }
    Object.assign(this, { x, lines });
    this.draw();
  }

  get shownAt() {
    const at = this.pointed ?? this.place;
    return at === null || at >= this.x.length ? null : at;
  }

  /** The values pointed at, or the newest, in the caption. */
  write() {
    const at = this.shownAt;
    setText(this.head, this.pointed === null ? this.title : this.xText(this.x[at]));
    this.lines.forEach((line, i) => {
      const newest = line.y.findLast((value) => Number.isFinite(value));
      setText(this.values[i], number(at === null ? newest : line.y[at]));
    });
    if (at !== null) return; // what moves is not read out
    const said = this.lines.map((line, i) => `${line.name} ${this.values[i].textContent}`).join(", ");
    this.canvas.setAttribute("aria-label", `${this.title}: ${said}`);
  }

  pointAt(event) {
    if (!this.plot || this.x.length === 0) return;
    const x = this.plot.xOf(event.clientX - this.canvas.getBoundingClientRect().left);
    let best = 0;
    this.x.forEach((value, i) => {
      if (Math.abs(value - x) < Math.abs(this.x[best] - x)) best = i;
    });
    this.point(best);
  }

  /** A place that moves along by itself: the frame shown. A pointer on the chart goes before it. */
  follow(index) {
    this.place = index;
    this.mark();
  }

  point(index) {
    this.pointed = index;
    this.mark();
  }

  /** Draw everything that stands still, aside; then the marks on it. */
  draw() {
    const box = this.canvas.getBoundingClientRect();
    if (box.width === 0) return;
    if (this.pointed !== null && this.pointed >= this.x.length) this.pointed = null;
    const density = window.devicePixelRatio || 1;
    for (const canvas of [this.canvas, this.still]) {
      canvas.width = Math.round(box.width * density);
      canvas.height = Math.round(box.height * density);
    }
    const context = this.still.getContext("2d");
    context.scale(density, density);
    context.font = `11px ${getComputedStyle(document.body).fontFamily}`;
    context.lineWidth = 1;
    const axis = axisOf(
      this.lines.map((line) => line.y),
      this.fromZero,
    );
    const widest = axis ? Math.max(0, ...tickTexts(axis.ticks).map((text) => context.measureText(text).width)) : 0;
    const area = {
      x0: Math.max(26, widest + 8),
      x1: box.width - 6,
      y0: 6,
      y1: box.height - 17,
    };
    this.drawX(context, area);
    if (axis) this.drawAxis(context, area, axis);
    for (const line of this.lines) this.drawLine(context, area, line, axis);
    Object.assign(this, { area, axis, density });
    for (const line of this.lines) this.drawMarkers(context, area, line, axis);
    this.mark();
  }

  /** What moves: the place pointed at or followed, and a dot on every line, there or at its end. */
  mark() {
    const { area, canvas, density } = this;
    if (!area || canvas.width === 0) return;
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(this.still, 0, 0);
    context.scale(density, density);
    if (this.shownAt !== null) this.drawPointer(context, area);
    for (const line of this.lines) this.drawDot(context, area, line, this.axis);
    this.write();
  }

  drawX(context, area) {
    const first = this.x[0] ?? 0;
    const last = Math.max(this.x[this.x.length - 1] ?? 1, first + 1e-9);
    const span = last - first < 1e-6 ? 1 : last - first;
    this.plot = {
      at: (x) => area.x0 + ((x - first) / span) * (area.x1 - area.x0 - 4),
      xOf: (place) => first + ((place - area.x0) / (area.x1 - area.x0 - 4)) * span,
    };
    context.fillStyle = themed("--faint");
    context.textAlign = "center";
    context.textBaseline = "alphabetic";
    let free = -Infinity;
    for (const tick of linearTicks(first, first + span, Math.max(2, Math.floor((area.x1 - area.x0) / 60)))) {
      if (this.whole && !Number.isInteger(tick)) continue;
      const text = this.xTick(tick);
      const half = context.measureText(text).width / 2;
      const x = Math.min(this.plot.at(tick), area.x1 + 6 - half);
      if (x - half < free || this.x.length === 0) continue;
      free = x + half + 8;
      context.fillText(text, x, area.y1 + 14);
    }
  }

  drawAxis(context, area, axis) {
    context.textAlign = "right";
    context.textBaseline = "middle";
    let free = Infinity; // below the label that was written last
    const texts = tickTexts(axis.ticks);
    for (const [i, tick] of axis.ticks.entries()) {
      const y = Math.round(area.y1 - axis.at(tick) * (area.y1 - area.y0)) + 0.5;
      if (y < area.y0 - 1 || y > area.y1 + 1 || y > free) continue;
      free = y - LINE;
      context.fillStyle = themed("--faint");
      context.fillText(texts[i], area.x0 - 6, y);
      context.strokeStyle = themed("--rule");
      context.beginPath();
      context.moveTo(area.x0, y);
      context.lineTo(area.x1, y);
      context.stroke();
    }
  }

  /** Where value i of a line lies, [x, y] in pixels; null: there is none, or it has no place on a logarithmic scale. */
  pointOf(area, line, axis, i) {
    const value = line.y[i];
    if (!axis || !Number.isFinite(value) || (axis.log && value <= 0)) return null;
    return [this.plot.at(this.x[i]), area.y1 - axis.at(value) * (area.y1 - area.y0)];
  }

  drawLine(context, area, line, axis) {
    context.strokeStyle = themed(line.colour);
    context.lineWidth = 1.5;
    context.lineJoin = "round";
    context.lineCap = this.lines.length > 1 ? "butt" : "round";
    context.setLineDash(this.lines.length > 1 ? (line.dash ?? []) : []);
    context.beginPath();
    let pen = false;
    this.x.forEach((_, i) => {
      const point = this.pointOf(area, line, axis, i);
      if (point && !pen) context.moveTo(...point);
      if (point) context.lineTo(...point); // also of one that stands alone: a point
      pen = point !== null || (pen && this.bridge);
    });
    context.stroke();
    context.setLineDash([]);
  }

  /** One line alone needs none, but where its points are far apart. */
  drawMarkers(context, area, line, axis) {
    const points = line.y.map((_, i) => this.pointOf(area, line, axis, i)).filter(Boolean);
    const sparse = points.length < this.x.length;
    if (!this.bridge || points.length > MARKED_MAX || (this.lines.length < 2 && !sparse)) return;
    for (const point of points) this.drawMarker(context, point, line);
  }

  drawMarker(context, [x, y], line) {
    context.save();
    context.translate(x, y);
    context.fillStyle = themed(line.colour);
    context.beginPath();
    MARKERS[this.lines.length > 1 ? (line.marker ?? 0) : 0].path(context);
    context.fill();
    context.restore();
  }

  drawDot(context, area, line, axis) {
    const at = this.shownAt ?? line.y.findLastIndex((value) => Number.isFinite(value));
    const point = this.pointOf(area, line, axis, at);
    if (point) this.drawMarker(context, point, line);
  }

  drawPointer(context, area) {
    const x = Math.round(this.plot.at(this.x[this.shownAt])) + 0.5;
    context.strokeStyle = themed("--faint");
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(x, area.y0);
    context.lineTo(x, area.y1);
    context.stroke();
  }

  destroy() {
    this.observer.disconnect();
    charts.delete(this);
  }
}
