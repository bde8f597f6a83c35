// The run as a whole: the stages (rate, what they do with their time, how far they are), what limits them, and the curves of the
// metrics over the passes.

import { Chart } from "./chart.js";
import { count, duration, el, number, setText } from "./dom.js";

const COLOURS = ["--c0", "--c1", "--c2", "--c3", "--c4", "--c5"];
const TABLE_ROWS = 200; // newest passes in the table of numbers

// The charts, in their order: metrics that belong together share one. `place` is where one stands: beside the stages, or in the first
// column of streams of a kind; without it, below with all others.
const CHARTS = [
  { title: "Reconstruction error", left: ["reconstruction_error"], place: "frames" },
  {
    title: "Interpolation error, participation",
    left: ["interpolation_error"],
    right: ["participation_ratio"],
    place: "run",
  },
  { title: "Homogeneity", left: ["homogeneity"], place: "run" },
  { title: "Dead units", left: ["dead_units"], place: "codes" },
  { title: "Error of the active code", left: ["active_code_error"] },
  { title: "Coverage of sparse units", left: ["coverage_min", "coverage_max"] },
  { title: "Variation of the coverage", left: ["coverage_cv"] },
  { title: "Topology", left: ["topology"] },
  { title: "Topology, z", left: ["topology_z"] },
  { title: "Step change \u03b4", left: ["step_change"] },
  { title: "Interpolation error, trace", left: ["interpolation_error_trace"] },
  { title: "Usage entropy, bits", left: ["usage_entropy"] },
];
const SHORT = { interpolation_error: "E", participation_ratio: "PR", coverage_min: "least", coverage_max: "most" };
const words = (name) => name.replaceAll("_", " ").replace(/^./, (letter) => letter.toUpperCase());

/** The curves: charts are made when their metric first comes. */
export class Curves {
  /** `place(kind)`: the element for a chart with such a place; `more`: that for all others; `table`: a <details> for the numbers. */
  constructor(store, { place, more, table }) {
    Object.assign(this, { store, place, more, table, charts: new Map() });
    table.addEventListener("toggle", () => this.writeTable());
  }

  /** The list above and, behind it, one for each metric that has no place there. */
  wanted() {
    const known = new Set(CHARTS.flatMap((chart) => [...chart.left, ...(chart.right ?? [])]));
    const names = new Set([...this.store.series.values()].flatMap((series) => Object.keys(series.values)));
    const others = [...names].filter((name) => !known.has(name)).map((name) => ({ title: words(name), left: [name] }));
    return [...CHARTS, ...others].filter((chart) =>
      [...chart.left, ...(chart.right ?? [])].some((name) => names.has(name)),
    );
  }

  refresh() {
    for (const wanted of this.wanted()) {
      if (!this.charts.has(wanted.title)) {
        const chart = new Chart({ title: wanted.title, data: { metric: wanted.left[0] } });
        this.charts.set(wanted.title, chart);
      }
      const { figure } = this.charts.get(wanted.title);
      if (!figure.isConnected) (wanted.place ? this.place(wanted.place) : this.more).append(figure);
      this.set(this.charts.get(wanted.title), wanted);
    }
    this.more.parentElement.hidden = this.more.childElementCount === 0;
    this.writeTable();
  }

  /** All layers that have one of the chart's metrics, over the passes of any of them. */
  set(chart, { left, right = [] }) {
    const lines = [];
    const metrics = [...left, ...right];
    const holders = [...this.store.series].filter(([, series]) => metrics.some((name) => name in series.values));
    const passes = [...new Set(holders.flatMap(([, series]) => series.passes))].sort((a, b) => a - b);
    const at = new Map(passes.map((pass, i) => [pass, i]));
    for (const [stage, series] of holders) {
      for (const name of metrics.filter((metric) => metric in series.values)) {
        const y = new Array(passes.length).fill(NaN);
        series.passes.forEach((pass, i) => (y[at.get(pass)] = series.values[name][i]));
        const label = [holders.length > 1 ? stage : "", metrics.length > 1 ? (SHORT[name] ?? words(name)) : ""];
        lines.push({
          name: label.filter(Boolean).join(" ") || stage,
          colour: COLOURS[lines.length % COLOURS.length],
          y,
          right: right.includes(name),
        });
      }
    }
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

  /** The stages as the pipeline has them: its parameters are told in its order. */
  inOrder(stages) {
    const names = Object.keys(this.store.scene?.parameters ?? {});
    return [...stages].sort((a, b) => names.indexOf(a.name) - names.indexOf(b.name));
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
    const stages = this.inOrder(status.stages);
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
      lines.map(([name, y], i) => ({ name, colour: COLOURS[i % COLOURS.length], y })),
    );
  }
}
