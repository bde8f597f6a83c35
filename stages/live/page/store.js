// All that the page knows: the newest of everything the server has sent, checked. Bounded: whatever comes for hours, it holds one
// clip and the next, the newest weights of each layer, and at most so many points a curve as stand below.

const PASSES_MAX = 2000; // points of a metric; beyond, every second of the older half goes
const RATES_MAX = 1200; // points of frames/s; likewise
const LAYERS_MAX = 64;
const METRICS_MAX = 64; // names of metrics a layer

/** Halve the resolution of the older half of aligned lists. */
export function thin(lists) {
  const half = Math.floor(lists[0].length / 2);
  for (const list of lists) {
    const kept = list.filter((_, i) => i >= half || i % 2 === 0);
    list.length = 0;
    list.push(...kept);
  }
}

const isGrid = (grid) =>
  Array.isArray(grid) && grid.length === 2 && grid.every((side) => Number.isInteger(side) && side > 0);
const finite = (value) => (Number.isFinite(value) ? value : NaN);

/** Metrics of one layer over the passes: {passes: [..], values: {name: [..]}}, all lists of one length. */
class Series {
  constructor() {
    this.passes = [];
    this.values = {};
  }

  add(pass, values) {
    if (!Number.isFinite(pass)) return;
    const last = this.passes.length - 1;
    if (last >= 0 && pass < this.passes[last]) return; // an older one than we have
    if (last < 0 || pass > this.passes[last]) {
      this.passes.push(pass);
      Object.values(this.values).forEach((list) => list.push(NaN));
    }
    for (const [name, value] of Object.entries(values ?? {})) {
      if (!(name in this.values)) {
        if (Object.keys(this.values).length >= METRICS_MAX) continue;
        this.values[name] = new Array(this.passes.length).fill(NaN);
      }
      this.values[name][this.passes.length - 1] = finite(value);
    }
    if (this.passes.length > PASSES_MAX) thin([this.passes, ...Object.values(this.values)]);
  }
}

export class Store {
  constructor() {
    this.scene = null;
    this.tapestry = null;
    this.status = null;
    this.dropped = 0;
    this.viewers = 0;
    this.layers = new Map(); // name -> {weights, prototypes, coverage}, the newest message of each
    this.series = new Map(); // name of a stage -> Series
    this.rates = { at: [], stages: new Map() }; // seconds since the page was opened; frames/s of each stage
    this.opened = Date.now();
  }

  /** Take a message in. Throws an Error that says what is wrong with it; then nothing has changed. */
  take(message) {
    const take = {
      scene: () => this.takeScene(message.head),
      tapestry: () => this.takeTapestry(message),
      weights: () => this.takeLayer("weights", message),
      prototypes: () => this.takeLayer("prototypes", message),
      coverage: () => this.takeLayer("coverage", message),
      metrics: () => this.takeMetrics(message.head),
      history: () => this.takeHistory(message.head),
      status: () => this.takeStatus(message.head),
    }[message.head.t];
    if (take) take();
  }

  takeScene(head) {
    if (!Array.isArray(head.streams)) throw new Error("the scene has no list of streams");
    for (const stream of head.streams) {
      const shown = stream.kind === "frames" ? isGrid(stream.shape) : isGrid(stream.grid);
      if (typeof stream.name !== "string" || !shown) throw new Error(`the stream ${stream.name} has no shape`);
    }
    this.scene = head;
  }

  takeTapestry(message) {
    const picture = message.arrays.picture;
    if (!picture || picture.shape.length !== 2) throw new Error("the tapestry has no picture");
    this.tapestry = { ...message.head, picture };
  }

  takeLayer(kind, { head, arrays }) {
    const array = arrays[kind === "coverage" ? "coverage" : "weights"];
    if (typeof head.name !== "string" || !isGrid(head.grid) || !array)
      throw new Error(`${kind} without a name, grid or numbers`);
    const units = head.grid[0] * head.grid[1];
    if (kind === "coverage") {
      if (array.data.length !== units) throw new Error(`coverage of ${head.name} is not one number a unit`);
    } else if (!isGrid(head.input) || head.input[0] * head.input[1] !== head.cols || array.shape[1] !== head.cols) {
      throw new Error(`${kind} of ${head.name} have no shape in which a unit can be shown`);
    }
    if (!this.layers.has(head.name) && this.layers.size >= LAYERS_MAX) return;
    const layer = this.layers.get(head.name) ?? {};
    layer[kind] = { ...head, data: array.data };
    this.layers.set(head.name, layer);
  }

  takeMetrics(head) {
    if (typeof head.name !== "string") throw new Error("metrics without a name");
    if (!this.series.has(head.name) && this.series.size >= LAYERS_MAX) return;
    if (!this.series.has(head.name)) this.series.set(head.name, new Series());
    this.series.get(head.name).add(head.pass, head.values);
  }

  takeHistory(head) {
    const all = new Map();
    for (const [name, { passes, values }] of Object.entries(head.series ?? {}).slice(0, LAYERS_MAX)) {
      if (!Array.isArray(passes) || !Object.values(values ?? {}).every(Array.isArray))
        throw new Error(`the history of ${name} has no lists`);
      const series = new Series();
      passes.forEach((pass, i) => {
        series.add(pass, Object.fromEntries(Object.entries(values ?? {}).map(([metric, list]) => [metric, list[i]])));
      });
      all.set(name, series);
    }
    this.series = all;
  }

  takeStatus(head) {
    this.dropped = head.dropped ?? 0;
    this.viewers = head.viewers ?? 0;
    const before = this.status;
    this.status = Array.isArray(head.status?.stages) ? this.own(head.status) : null;
    if (this.status === null) return;
    if (before?.time !== this.status.time || this.status.time === null) this.heard = Date.now();
    const { at, stages } = this.rates;
    at.push((Date.now() - this.opened) / 1000);
    for (const list of stages.values()) list.push(NaN);
    for (const stage of this.status.stages) {
      if (!stages.has(stage.name) && stages.size >= LAYERS_MAX) continue;
      if (!stages.has(stage.name)) stages.set(stage.name, new Array(at.length).fill(NaN));
      stages.get(stage.name)[at.length - 1] = stage.state === "running" ? finite(stage.rate) : NaN;
    }
    if (at.length > RATES_MAX) thin([at, ...stages.values()]);
  }

  /** Of the state of a sweep, what concerns the member that is shown: its own stages and those that all share. */
  own(status) {
    const { sweep, run } = this.scene ?? {};
    if (!sweep) return status;
    const short = (name) => (name?.startsWith(`${run}/`) ? name.slice(run.length + 1) : name);
    const mine = status.stages.filter((stage) => !stage.member || stage.member === run);
    const stages = mine.map((stage) => ({ ...stage, name: short(stage.name) }));
    const limits = stages.some((stage) => stage.name === short(status.limits)) ? short(status.limits) : null;
    return { ...status, stages, limits };
  }

  /** The run has ended like that, as the server said when it closed: what was last heard of the stages is not true any more. */
  end(state) {
    const sentences = { finished: "The run has finished.", stopped: "The run was stopped.", failed: "The run has failed." };
    if (this.status === null) this.status = { stages: [] };
    const over = state === "finished" ? "done" : "stopped";
    const stages = this.status.stages.map((stage) =>
      ["done", "failed"].includes(stage.state) ? stage : { ...stage, state: over, rate: null },
    );
    this.status = { ...this.status, state, ending: null, sentence: sentences[state], stages };
  }

  /** Where a stage stands in the pipeline, whose parameters are told in its order; one that is not in it, behind all. */
  placeOf(name) {
    const names = Object.keys(this.scene?.parameters ?? {});
    const others = [...this.series.keys(), ...this.rates.stages.keys()].filter((one) => !names.includes(one));
    const all = [...new Set([...names, ...others])];
    return all.includes(name) ? all.indexOf(name) : all.length;
  }

  /** Names of stages in that order. */
  inOrder(names) {
    return [...names].sort((a, b) => this.placeOf(a) - this.placeOf(b));
  }

  /** Seconds since the launcher last wrote something new. */
  get silent_s() {
    return this.heard === undefined ? 0 : (Date.now() - this.heard) / 1000;
  }

  /** What the run is called: its folder, with that of the sweep whose member it is. */
  get name() {
    const { run = "", sweep } = this.scene ?? {};
    return sweep ? `${sweep} / ${run}` : run;
  }

  /** Seconds until the last stage has done all its frames, by its rate of the last minute; NaN where that cannot be told. */
  get left_s() {
    let most = NaN;
    for (const { name, state, frame, frames } of this.status?.stages ?? []) {
      const rates = (this.rates.stages.get(name) ?? []).slice(-60).filter((rate) => rate > 0);
      if (state !== "running" || !(frame < frames) || rates.length < 5) continue;
      const left = ((frames - frame) * rates.length) / rates.reduce((sum, rate) => sum + rate, 0);
      if (!(left <= most)) most = left;
    }
    return most;
  }

  /** The pass that the slowest stage is in, as "3/20"; "" where that is not known. */
  get progress() {
    const stages = (this.status?.stages ?? []).filter((stage) => Number.isFinite(stage.pass) && stage.passes > 0);
    if (stages.length === 0) return "";
    const slowest = stages.reduce((a, b) => (b.pass < a.pass ? b : a));
    return `${slowest.pass}/${slowest.passes}`;
  }
}
