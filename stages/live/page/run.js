// The run as a whole: the stages (rate, what they do with their time, how far they are), what limits them, and the curves of the
// metrics over the passes.

import { Chart, MARKERS } from "./chart.js";
import { count, duration, el, number, setText } from "./dom.js";

const COLOURS = ["--c0", "--c1", "--c2", "--c3", "--c4", "--c5"];
// Of the lines of a chart, in turn: where two are on one another, the lower one is seen through the gaps of the upper.
const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3]];
const TABLE_ROWS = 200; // newest passes in the table of numbers

// The charts, in their order, one metric each: E and PR are to be read together, and stand together, but on scales of their own.
// `place` is where one stands: beside the stages, or in the first column of streams of a kind; without it, below with all others.
const CHARTS = [
  { title: "Reconstruction error", metric: "reconstruction_error", place: "frames" },
  { title: "Interpolation error E", metric: "interpolation_error", place: "run" },
  { title: "Participation ratio PR", metric: "participation_ratio", place: "run" },
  { title: "Homogeneity", metric: "homogeneity", place: "run" },
  { title: "Dead units", metric: "dead_units", place: "codes" },
  { title: "Error of the active code", metric: "active_code_error" },
  { title: "Coverage of a unit, least", metric: "coverage_min" },
  { title: "Coverage of a unit, most", metric: "coverage_max" },
  { title: "Coverage, variation", metric: "coverage_cv" },
  { title: "Topology", metric: "topology" },
  { title: "Topology, z", metric: "topology_z" },
  { title: "Step change \u03b4", metric: "step_change" },
  { title: "Interpolation error, trace", metric: "interpolation_error_trace" },
  { title: "Usage entropy, bits", metric: "usage_entropy" },
];
const words = (name) => name.replaceAll("_", " ").replace(/^./, (letter) => letter.toUpperCase());

/** How the curves of a stage look, in all charts alike: a colour and, for those who cannot tell it from others, a marker. */
function styleOf(store, name) {
  const i = store.placeOf(name);
  return { colour: COLOURS[i % COLOURS.length], marker: (i + Math.floor(i / COLOURS.length)) % MARKERS.length };
}

/** The curves: charts are made when their metric first comes. */
export class Curves {
  /** `place(kind)`: the element for a chart with such a place; `more`: that for all others; `table`: a <details> for the numbers. */
  constructor(store, { place, more, table }) {
    Object.assign(this, { store, place, more, table, charts: new Map() });
    table.addEventListener("toggle", () => this.writeTable());
  }

  /** The list above and, behind it, one for each metric that has no place there. */
  wanted() {
    const known = new Set(CHARTS.map((chart) => chart.metric));
    const names = new Set([...this.store.series.values()].flatMap((series) => Object.keys(series.values)));
    const others = [...names].filter((name) => !known.has(name)).map((name) => ({ title: words(name), metric: name }));
    return [...CHARTS, ...others].filter((chart) => names.has(chart.metric));
  }

  refresh() {
    for (const wanted of this.wanted()) {
      if (!this.charts.has(wanted.title)) {
        const chart = new Chart({ title: wanted.title, bridge: true, data: { metric: wanted.metric } });
        this.charts.set(wanted.title, chart);
      }
      const { figure } = this.charts.get(wanted.title);
      if (!figure.isConnected) (wanted.place ? this.place(wanted.place) : this.more).append(figure);
      this.set(this.charts.get(wanted.title), wanted.metric);
    }
    this.more.parentElement.hidden = this.more.childElementCount === 0;
    this.writeTable();
  }

  /** All layers that have the chart's metric, over the passes of any of them. */
  set(chart, metric) {
    const names = this.store.inOrder([...this.store.series.keys()]);
    const holders = names.map((name) => [name, this.store.series.get(name)]).filter(([, { values }]) => metric in values);
    const passes = [...new Set(holders.flatMap(([, series]) => series.passes))].sort((a, b) => a - b);
    const at = new Map(passes.map((pass, i) => [pass, i]));
    const lines = holders.map(([name, series], i) => {
      const y = new Array(passes.length).fill(NaN);
      series.passes.forEach((pass, k) => (y[at.get(pass)] = series.values[metric][k]));
      return { name, y, ...styleOf(this.store, name), dash: DASHES[i % DASHES.length] };
    });
    chart.set(passes, lines);
  }

  /** The same numbers as a table, when it is open. */
  writeTable() {
    if (!this.table.open) return;
    const tables = [...this.store.series].map(([stage, { passes, values }]) => {
      const names = Object.keys(values);
      const head = el(
        "tr",
        {},
        ...["pass", ...names.map((name) => words(name))].map((text) => el("th", { scope: "col", text })),
      );
      const rows = passes
        .map((pass, i) =>
          el(
            "tr",
            {},
            el("th", { scope: "row", text: pass }),
            ...names.map((name) => el("td", { text: number(values[name][i]) })),
          ),
        )
        .slice(-TABLE_ROWS)
        .reverse();
      return el(
        "div",
        { class: "scroll" },
        el("table", {}, el("caption", { text: stage }), el("thead", {}, head), el("tbody", {}, ...rows)),
      );
    });
    this.table.querySelector(".tables").replaceChildren(...tables);
  }
}

/** A row of the table of stages. */
class StageRow {
  constructor(name) {
    this.cells = Object.fromEntries(
      ["kind", "rate", "busy", "pass", "of", "state"].map((part) => [part, el("span", { class: part })]),
    );
    this.parts = ["computing", "input", "output"].map((part) => el("i", { class: part }));
    this.bar = el("span", { class: "shares", role: "img" }, ...this.parts);
    const { kind, rate, busy, pass, of, state } = this.cells;
    this.element = el(
      "tr",
      { data: { stage: name } },
      el("th", { scope: "row" }, el("span", { class: "name", text: name }), kind),
      el("td", { class: "number" }, rate, state),
      el("td", {}, this.bar, busy),
      el("td", { class: "number" }, pass, of),
    );
    this.progress = el("span", { class: "progress", "aria-hidden": "true" }, el("i")); // fills the line under the row
    this.element.lastChild.append(this.progress);
  }

  write(stage, limits) {
    const percent = (share) => `${Math.round(100 * share)}%`;
    const shares = [stage.computing, stage.waiting_input, stage.waiting_output].map((share) =>
      Number.isFinite(share) ? share : 0,
    );
    this.element.classList.toggle("limits", limits);
    this.element.dataset.state = stage.state;
    setText(this.cells.kind, stage.kind === stage.name ? "" : (stage.kind ?? ""));
    const runs = stage.state === "running";
    const rated = Number.isFinite(stage.rate); // one that draws pictures has no rate
    setText(this.cells.rate, runs && rated ? count(stage.rate) : "\u2013");
    setText(this.cells.state, runs ? (rated ? "frames/s" : "") : (stage.state ?? ""));
    this.parts.forEach((part, i) => (part.style.width = percent(shares[i])));
    const known = Number.isFinite(stage.computing);
    this.bar.hidden = !known;
    setText(this.cells.busy, known ? `computes ${percent(shares[0])}` : "");
    this.bar.setAttribute(
      "aria-label",
      `computing ${percent(shares[0])}, waiting for input ${percent(shares[1])}, waiting for output ${percent(shares[2])}`,
    );
    const frame = Number.isFinite(stage.frame) ? `frame ${count(stage.frame)}` : "";
    setText(this.cells.pass, Number.isFinite(stage.pass) ? `pass ${count(stage.pass)}` : frame);
    setText(this.cells.of, stage.passes > 0 ? `of ${count(stage.passes)}` : "");
    this.progress.firstChild.style.width = stage.frames > 0 ? percent(stage.frame / stage.frames) : "0";
    const queue = stage.queue
      ? `; ${count(stage.queue.input)} frames wait at its input, ${count(stage.queue.held)} are held for readers`
      : "";
    const again = stage.restarts > 0 ? `; started again ${stage.restarts} times` : "";
    this.element.title = `${stage.name}: frame ${count(stage.frame)} of ${count(stage.frames)}${queue}${again}`;
  }
}

/** The table of stages, the sentence on what limits the run, and the rates over time. */
export class Stages {
  constructor(store, { table, key, sentence, chart }) {
    Object.assign(this, { store, table, key, sentence, rows: new Map() });
    this.chart = new Chart({
      title: "Frames/s",
      fromZero: true,
      xText: (x) => duration(x),
      xTick: duration,
      whole: false,
      data: { metric: "rate" },
    });
    this.chart.figure.classList.add("many");
    chart.append(this.chart.figure);
  }

  refresh() {
    const { status, rates } = this.store;
    this.table.hidden = this.chart.figure.hidden = status === null;
    if (status === null) {
      const over = this.store.scene?.mode === "recording";
      setText(
        this.sentence,
        over ? "How its stages fared is not recorded." : "Nothing has been heard of the stages yet.",
      );
      return;
    }
    const place = (stage) => this.store.placeOf(stage.name);
    const stages = [...status.stages].sort((a, b) => place(a) - place(b));
    for (const stage of stages) {
      if (!this.rows.has(stage.name)) this.rows.set(stage.name, new StageRow(stage.name));
      this.rows.get(stage.name).write(stage, stage.name === status.limits);
    }
    for (const [name, row] of this.rows) {
      if (status.stages.some((stage) => stage.name === name)) continue;
      row.element.remove();
      this.rows.delete(name);
    }
    const order = stages.map((stage) => stage.name).join();
    if (order !== this.order) this.table.tBodies[0].append(...stages.map((stage) => this.rows.get(stage.name).element));
    this.order = order;
    const measured = status.stages.some((stage) => Number.isFinite(stage.computing));
    this.key.hidden = !measured;
    setText(
      this.sentence,
      status.sentence ?? (measured ? "" : "Rates as seen from here; the stages have not told theirs."),
    );
    const lines = [...rates.stages].filter(([, y]) => y.some((rate) => rate > 0));
    this.chart.figure.hidden = lines.length === 0;
    this.chart.set(
      rates.at,
      lines.map(([name, y]) => ({ name, y, colour: styleOf(this.store, name).colour })),
    );
  }
}
