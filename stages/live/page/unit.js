// One unit, seen large: its weights, its prototype, its numbers, the windows that drove it most, who reads it, what it is made of.
// It lies beside the columns where there is room and over them where there is not; Escape closes it.

import { largest } from "./clip.js";
import { count, el, iconButton, number } from "./dom.js";
import { Raster, themed } from "./raster.js";
import { savePicture } from "./save.js";

const AGAIN_MS = 2000; // an open unit is asked for again, since the layer learns

export class UnitPanel {
  constructor(element, app) {
    Object.assign(this, { element, app, asked: null, shown: null, rasters: new Map(), askedAt: 0 });
    this.title = el("h2", { id: "unit-title" });
    const tools = el(
      "span",
      { class: "tools" },
      iconButton("save", "Save this unit as PNG", () =>
        savePicture(this.element, `${this.asked.name}-${this.asked.unit}`),
      ),
      iconButton("close", "Close (Escape)", () => this.close()),
    );
    this.body = el("div", { class: "body" });
    this.element.replaceChildren(el("header", {}, this.title, tools), this.body);
  }

  /** Show unit number `unit` of the layer `name`; its answer comes later. */
  open(name, unit) {
    const stream = this.app.store.scene?.streams.find((one) => one.name === name);
    if (!stream?.grid || !(unit >= 0 && unit < stream.grid[0] * stream.grid[1])) return;
    this.asked = { name, unit };
    this.shown = null;
    this.stream = stream;
    this.element.hidden = false;
    document.body.classList.add("with-unit");
    const x = unit % stream.grid[0];
    this.title.replaceChildren(
      `${name} ${unit} `,
      el("span", { text: `column ${x}, row ${(unit - x) / stream.grid[0]}` }),
    );
    this.clear(el("p", { class: "empty", text: "Asking for it\u2026" }));
    this.ask();
    window.history.replaceState(
      null,
      "",
      `${window.location.pathname}${window.location.search}#${encodeURIComponent(name)}/${unit}`,
    );
    this.app.sayNoUnit(""); // of another one that the address named
    this.app.refresh(["sections"]);
  }

  close() {
    if (this.asked === null) return false;
    this.asked = this.shown = null;
    this.element.hidden = true;
    document.body.classList.remove("with-unit");
    this.clear();
    window.history.replaceState(null, "", window.location.pathname + window.location.search);
    this.app.sayNoUnit("");
    this.app.refresh(["sections"]);
    return true;
  }

  ask() {
    this.askedAt = performance.now();
    if (this.asked) this.app.send({ t: "unit", ...this.asked });
  }

  /** To be called now and then: asks again. */
  tick(now) {
    if (this.asked && now - this.askedAt > AGAIN_MS && this.app.store.scene?.mode === "live") this.ask();
  }

  clear(...children) {
    this.rasters.forEach((raster) => raster.destroy());
    this.rasters.clear();
    this.body.replaceChildren(...children);
  }

  /** The picture called `key`: the one that is there, so that it stays enlarged or pointed at, or a new one. */
  raster(key, options, values, paint) {
    let raster = this.rasters.get(key);
    if (raster?.width !== options.width || raster.height !== options.height) {
      raster?.destroy();
      raster = new Raster(options);
      this.rasters.set(key, raster);
    }
    raster.describe = options.describe;
    raster.signed = values.some((value) => value < 0);
    raster.retitle(options.title);
    raster.paint(values, paint);
    raster.renote();
    return raster;
  }

  /** The server's answer; one to an older question is passed over. */
  take({ head, arrays }) {
    if (!this.asked || head.name !== this.asked.name || head.unit !== this.asked.unit) return;
    const [w, h] = head.input ?? [];
    const weights = arrays.weights?.data;
    if (!weights || !(w * h === weights.length)) {
      this.clear(el("p", { class: "empty", text: "The answer has no weights in a shape that can be shown." }));
      return;
    }
    const focused = this.body.contains(document.activeElement) ? document.activeElement : null;
    const parts = [this.pictures(head, arrays, w, h), this.facts(head), this.windows(arrays)];
    parts.push(this.others("Read by", head.readers), this.others("Made of", head.sources));
    const place = this.element.scrollTop;
    this.body.replaceChildren(...parts.filter(Boolean));
    this.element.scrollTop = place;
    const again = focused?.isConnected
      ? focused
      : this.body.querySelector(`[data-key="${CSS.escape(focused?.dataset.key ?? "")}"]`);
    if (focused) again?.focus({ preventScroll: true });
    this.shown = head;
  }

  pictures(head, arrays, width, height) {
    const { stream } = this;
    const data = { stream: head.name, what: "unit", unit: head.unit, seq: head.seq };
    const below = this.app.store.scene.streams.find((one) => one.name === stream.from);
    const onUnits = below?.grid?.[0] === width && below.grid[1] === height;
    const weights = this.raster(
      "weights",
      {
        title: "Weights",
        width,
        height,
        data,
        grid: onUnits ? below.grid : null,
        describe: (unit) => `${unit}: ${number(arrays.weights.data[unit])}`,
        pick: (unit) => this.app.openUnit(below.name, unit),
        mark: ({ box }) => box(this.app.chosen(below?.name), themed("--mark"), 2),
      },
      arrays.weights.data,
      { max: largest(arrays.weights.data) },
    );
    const prototype = arrays.prototype?.data;
    const shape = this.app.pixelsOf(head.name);
    const figures = [weights.figure];
    if (prototype && shape && prototype.length === shape[0] * shape[1]) {
      const options = {
        title: "Prototype",
        width: shape[1],
        height: shape[0],
        data: { stream: head.name, what: "prototype" },
      };
      figures.unshift(this.raster("prototype", options, prototype, { max: largest(prototype) }).figure);
    }
    return el("div", { class: "pictures" }, ...figures);
  }

  facts(head) {
    const rows = [
      ["sum of weights", head.sum],
      ["largest weight", head.max],
      ["coverage", head.coverage],
    ].filter(([, value]) => Number.isFinite(value));
    const age = this.app.ageOf(head.name);
    return el(
      "dl",
      {},
      ...(age ? [el("dt", { text: "weights" }), el("dd", { text: age })] : []),
      ...rows.flatMap(([name, value]) => [el("dt", { text: name }), el("dd", { text: number(value) })]),
    );
  }

  windows(arrays) {
    const { windows, drives, windows_seq: seqs } = arrays;
    if (!windows || windows.shape.length !== 3 || windows.shape[0] === 0) return null;
    const [n, height, width] = windows.shape;
    const figures = Array.from({ length: n }, (_, i) => {
      const title = drives ? number(drives.data[i]) : `${i + 1}`;
      const values = windows.data.subarray(i * width * height, (i + 1) * width * height);
      const raster = this.raster(
        `window ${i}`,
        { title, width, height, scale: false, data: { what: "window" } },
        values,
        { max: 255 },
      );
      raster.frame.title = seqs ? `frame ${count(seqs.data[i])}` : "";
      return raster.figure;
    });
    return el("div", {}, el("h3", { text: "Windows that drove it most" }), el("div", { class: "windows" }, ...figures));
  }

  /** Units of other layers, strongest first, with a bar for the weight. */
  others(title, list) {
    if (!Array.isArray(list) || list.length === 0) return null;
    const most = Math.max(...list.map((one) => one.weight)) || 1;
    const rows = list.slice(0, 10).map((one) => {
      const open = () => this.app.openUnit(one.layer, one.unit);
      const link = el("button", {
        type: "button",
        class: "link",
        data: { key: `${one.layer}/${one.unit}` },
        on: { click: open },
      });
      link.textContent = `${one.layer} ${one.unit}`;
      const bar = el("i", { class: "bar" });
      bar.style.width = `${Math.max(0, (100 * one.weight) / most)}%`;
      return el(
        "li",
        {},
        link,
        el("span", { class: "track" }, bar),
        el("span", { class: "value", text: number(one.weight) }),
      );
    });
    return el("div", {}, el("h3", { text: title }), el("ol", { class: "others" }, ...rows));
  }
}
