// The live page: puts the parts together. What comes over the connection goes into the store (store.js) and the player (player.js); a
// loop of animation frames shows what is due. A hidden tab has no such frames, asks for next to nothing, and so does nothing.

import { Clip } from "./clip.js";
import { repaintCharts } from "./chart.js";
import { address, Connection } from "./connection.js";
import { Controls } from "./controls.js";
import { count, duration, icon, setText, settings } from "./dom.js";
import { Player } from "./player.js";
import { repaintAll, shrinkAll } from "./raster.js";
import { Curves, Stages } from "./run.js";
import { savePicture } from "./save.js";
import { ActivationsSection, CodesSection, FramesSection } from "./sections.js";
import { endingOf, isOver, standing } from "./standing.js";
import { Store } from "./store.js";
import { UnitPanel } from "./unit.js";
import { ageOf } from "./weights.js";

const SECTIONS = { frames: FramesSection, codes: CodesSection, activations: ActivationsSection };
const SECTIONS_MAX = 24;
const CLIP_FRAMES = 64; // what the server sends at once
const HIDDEN_MS = 60000; // the longest pause between clips that can be asked for
const PARTS_OF = {
  scene: ["sections", "stages", "curves"],
  tapestry: ["sections"],
  weights: ["sections"],
  prototypes: ["sections"],
  coverage: ["sections"],
  metrics: ["curves"],
  history: ["curves"],
  status: ["stages"],
}; // which parts of the page a message changes
const still = window.matchMedia("(prefers-reduced-motion: reduce)");
const $ = (id) => document.getElementById(id);

/** A part of the address as text; as it stands where it is none. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

class App {
  constructor() {
    this.store = new Store();
    this.sections = [];
    this.problems = new Map(); // what -> sentence
    this.stale = new Set(["sections", "stages", "curves"]); // what of the slow parts has something new to show
    this.player = new Player({
      show: (clip, frame) => this.show(clip, frame),
      ask: (question) => this.send(question),
      changed: () => (this.moved = true),
    });
    this.player.playing = !still.matches; // where motion is not wanted, the picture waits for the key
    this.stages = new Stages(this.store, {
      table: $("stages"),
      key: $("shares"),
      sentence: $("sentence"),
      chart: $("rates"),
    });
    this.curves = new Curves(this.store, {
      place: (kind) => this.place(kind),
      more: $("more-curves"),
      table: $("numbers"),
    });
    this.unit = new UnitPanel($("unit"), this);
    this.controls = new Controls($("controls"), this.player);
    this.past = false; // of a run that goes on: show what is recorded of it, not what comes
    this.controls.onPast = (past) => {
      this.past = past;
      this.setRange();
    };
    this.connection = new Connection({
      onMessage: (message) => this.take(message),
      onProblem: (text) => this.problem("message", text),
      onState: (state) => this.connected(state),
    });
    this.listen();
    window.requestAnimationFrame((now) => this.tick(now));
  }

  listen() {
    document.addEventListener("visibilitychange", () => this.want());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") shrinkAll() || this.unit.close();
    });
    $("save").addEventListener("click", () => savePicture($("page"), "page"));
    $("retry").addEventListener("click", () => this.connection.now());
    $("dismiss").addEventListener("click", () => {
      this.problems.clear();
      this.stale.add("head");
    });
    $("copy").addEventListener("click", () => navigator.clipboard?.writeText($("command").textContent));
    $("metrics").href = address("/metrics");
    window.addEventListener("hashchange", () => this.openHash());
    this.choice("colours", "grey", (name) => repaintAll(name));
    this.choice("theme", "auto", (theme) => this.setTheme(theme));
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.setTheme());
  }

  /** A <select> whose value is kept. */
  choice(id, otherwise, use) {
    const select = $(id);
    select.value = settings.get(id, otherwise);
    if (select.selectedIndex < 0) select.value = otherwise;
    select.addEventListener("change", () => {
      settings.set(id, select.value);
      use(select.value);
    });
    use(select.value);
  }

  setTheme(theme = $("theme").value) {
    const dark = theme === "dark" || (theme === "auto" && window.matchMedia("(prefers-color-scheme: dark)").matches);
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    repaintAll();
    repaintCharts();
  }

  /** A sentence for the reader; the same trouble only once. */
  problem(what, text) {
    if (this.problems.size < 8 || this.problems.has(what)) this.problems.set(what, text);
    this.stale.add("head");
  }

  send(question) {
    return this.connection?.send(question) ?? false;
  }

  /** Tell the server what can be seen. */
  want() {
    const hidden = document.visibilityState === "hidden";
    const clip_ms = hidden ? HIDDEN_MS : Math.max(250, Math.min((1000 * CLIP_FRAMES) / this.player.speed, HIDDEN_MS));
    this.wantedSpeed = this.player.speed;
    this.send({ t: "want", weights: !hidden, clip_ms: Math.round(clip_ms) });
  }

  connected({ state, wait_s, reason, code }) {
    this.connectionState = state;
    if (endingOf(code) !== null) this.store.end(endingOf(code));
    ["head", "stages"].forEach((part) => this.stale?.add(part));
    const texts = { connecting: "connecting", open: "connected", waiting: `reconnecting in ${wait_s} s` };
    setText($("connection"), texts[state]);
    $("connection").dataset.state = state;
    $("lost").hidden = state !== "waiting";
    const why = reason
      ? `The server closed the connection: ${reason.replace(/\.$/, "")}.`
      : "There is no connection to the server.";
    if (state === "waiting")
      setText($("lost-text"), `${why} What you see is the last that came. Trying again in ${wait_s} s.`);
    if (state === "open") this.want();
  }

  take(message) {
    const type = message.head.t;
    try {
      if (type === "clip") this.player.offer(new Clip(message));
      else if (type === "unit") this.unit.take(message);
      else if (type === "error") this.refused(message.head.why);
      else this.store.take(message);
      if (type === "scene") this.build();
    } catch (problem) {
      this.problem(type, `${type}: ${problem.message}.`);
    }
    (PARTS_OF[type] ?? ["head"]).forEach((part) => this.stale.add(part));
  }

  refused(why) {
    this.player.refused();
    this.problem("server", String(why ?? "The server could not answer."));
  }

  /** Columns for the streams of a new scene; the same scene again (a reconnection) keeps what is there. */
  build() {
    const { scene } = this.store;
    document.body.dataset.run = this.store.name;
    document.body.dataset.mode = scene.mode;
    this.setRange();
    const key = JSON.stringify(scene.streams);
    if (key !== this.built) {
      this.built = key;
      this.sections.forEach((section) => section.destroy());
      this.sections = this.inOrder(scene).map((stream) => new SECTIONS[stream.kind](stream, this));
      $("run").before(...this.sections.map((section) => section.element));
      if (this.player.clip) this.show(this.player.clip, this.player.frame);
    }
    this.openHash();
  }

  /** The streams that have a column: frames, codes, activations, each in the order of the pipeline (that of its parameters). */
  inOrder({ streams, parameters }) {
    const [kinds, stages] = [Object.keys(SECTIONS), Object.keys(parameters ?? {})];
    const rank = (stream) => kinds.indexOf(stream.kind) * 1000 + stages.indexOf(stream.name);
    const known = streams.filter((stream) => kinds.includes(stream.kind));
    return known.sort((a, b) => rank(a) - rank(b)).slice(0, SECTIONS_MAX);
  }

  /** What the slider reaches: the clip, or the recording where there is nothing else, or where that is wanted. */
  setRange() {
    const { mode, recording } = this.store.scene;
    const range = recording?.frames > 0 ? recording : null;
    this.controls.offerPast(mode === "live" && range !== null ? this.past : null);
    this.player.setRange(mode === "recording" || this.past ? range : null);
    this.stale.add("sections"); // which say of when their weights are
  }

  /** The unit that the address names, e.g. #sparse/17. */
  openHash() {
    const { hash } = window.location;
    const found = /^#([^/]+)\/(\d+)$/.exec(hash);
    const [name, unit] = found ? [decoded(found[1]), Number(found[2])] : [null, NaN];
    const wrong = hash.length > 1 ? this.whyNot(name, unit) : "";
    this.sayNoUnit(wrong === "" ? "" : `${decoded(hash)}: ${wrong}`);
    if (!found || wrong !== "") return;
    if (this.unit.asked?.name !== name || this.unit.asked.unit !== unit) this.openUnit(name, unit);
    else if (this.unit.shown === null) this.unit.ask();
  }

  /** That the address names no unit that could be shown; "": it does, or names none. */
  sayNoUnit(text) {
    $("no-unit").hidden = text === "";
    setText($("no-unit"), text);
  }

  /** Why a unit cannot be shown; "": it can. Streams of a run that goes on come one after the other. */
  whyNot(name, unit) {
    const { streams = [], parameters = {}, mode } = this.store.scene ?? {};
    const layers = streams.filter((one) => one.grid).map((one) => one.name);
    if (name === null) return "this names no unit; the form is #LAYER/NUMBER, such as #sparse/17.";
    const stream = streams.find((one) => one.name === name);
    if (stream?.grid) {
      const units = stream.grid[0] * stream.grid[1];
      return unit < units ? "" : `there is no such unit; ${name} has units 0 to ${units - 1}.`;
    }
    if (streams.length === 0) return "nothing has been heard of the layers yet.";
    if (stream) return `${name} is no layer: it has no units.`;
    if (Object.hasOwn(parameters, name)) return mode === "live" ? `nothing has been heard of ${name} yet.` : `${name} was not recorded.`;
    return layers.length > 0
      ? `there is no such layer; there ${layers.length === 1 ? "is" : "are"} ${layers.join(", ")}.`
      : "there are no layers.";
  }

  /** Where a curve of this place goes: the first column of that kind, or beside the stages. */
  place(kind) {
    return this.sections.find((section) => section.stream.kind === kind)?.element ?? $("key-curves");
  }

  openUnit(name, unit) {
    this.unit.open(name, unit);
  }

  /** The unit of a layer that is open, or null. */
  chosen(name) {
    return this.unit.asked?.name === name ? this.unit.asked.unit : null;
  }

  /** Of when the weights of a layer are that are shown beside the frames: "as saved after pass 8"; "" where both are of now. */
  ageOf(name) {
    const stream = this.store.scene?.streams.find((one) => one.name === name);
    const past = this.store.scene?.mode === "live" && this.past;
    return ageOf(this.store.layers.get(name)?.weights, stream?.pass, past);
  }

  /** Height and width of the frames at the root of a stream, or null. */
  pixelsOf(name) {
    let stream = this.store.scene.streams.find((one) => one.name === name);
    for (let depth = 0; stream && stream.kind !== "frames" && depth < 16; depth++) {
      const { from } = stream;
      stream = this.store.scene.streams.find((one) => one.name === from);
    }
    return stream?.kind === "frames" ? stream.shape : null;
  }

  show(clip, frame) {
    document.body.dataset.seq = clip.seq + frame;
    for (const section of this.sections) {
      try {
        section.show(clip, frame);
      } catch (problem) {
        this.problem(`show ${section.stream.name}`, `${section.stream.name} cannot be shown: ${problem.message}.`);
      }
    }
  }

  /** What is slow: layers, curves, stages; and the head of the page. */
  refresh(which = ["sections", "stages", "curves"]) {
    const parts = { sections: this.sections, stages: [this.stages], curves: [this.curves] };
    for (const part of which.flatMap((name) => parts[name] ?? [])) {
      try {
        part.refresh();
      } catch (problem) {
        this.problem("refresh", `Something cannot be shown: ${problem.message}.`);
      }
    }
    this.writeHead();
  }

  /** How things stand with the run. */
  get standing() {
    const { scene, status, silent_s } = this.store;
    return standing({ connection: this.connectionState, scene, status, silent_s });
  }

  writeHead() {
    const { scene, status, dropped, name } = this.store;
    const recording = scene?.mode === "recording";
    const state = this.standing;
    const viewers = this.connectionState === "open" ? this.store.viewers : 0;
    setText($("name"), name);
    $("name").title = scene?.folder ?? "";
    setText($("pipeline"), scene?.pipeline && scene.pipeline !== scene.run ? `pipeline ${scene.pipeline}` : "");
    setText($("mode"), recording && isOver(state) ? `${state}, seen as recorded` : state);
    $("mode").dataset.state = state;
    document.title = [name, recording ? "" : this.store.progress, "Loom"].filter(Boolean).join(" \u00b7 ");
    const left = state === "running" ? this.store.left_s : NaN;
    const facts = [
      Number.isFinite(status?.elapsed_s) ? `${duration(status.elapsed_s)} elapsed` : "",
      Number.isFinite(left) ? `about ${duration(left)} left` : "",
      viewers > 0 ? `${count(viewers)} viewer${viewers === 1 ? "" : "s"}` : "",
      dropped > 0 ? `${count(dropped)} dropped` : "",
    ];
    setText($("facts"), facts.filter(Boolean).join("\u2002\u00b7\u2002"));
    $("command-line").hidden = !scene?.command;
    setText($("command"), scene?.command ?? "");
    $("waiting").hidden = scene !== null && (this.player.clip !== null || this.sections.length === 0);
    setText($("waiting"), scene === null ? "Waiting for the server\u2026" : "Waiting for the first frames\u2026");
    $("problems").hidden = this.problems.size === 0;
    setText($("problem-text"), [...this.problems.values()].join(" "));
    this.writeParameters(scene?.parameters);
  }

  writeParameters(parameters) {
    const text = Object.entries(parameters ?? {})
      .map(
        ([stage, values]) =>
          `${stage}: ${Object.entries(values ?? {})
            .map(([name, value]) => `${name} ${value}`)
            .join(", ")}`,
      )
      .join("\n");
    $("parameters-box").hidden = text === "";
    setText($("parameters"), text);
  }

  tick(now) {
    this.player.tick(now);
    this.unit.tick(now);
    if (this.player.speed !== this.wantedSpeed) this.want();
    if (this.standing !== $("mode").dataset.state) this.stale.add("head"); // silence brings no message
    if (this.moved) this.controls.refresh();
    if (this.stale.size > 0) this.refresh([...this.stale]);
    this.stale.clear();
    this.moved = false;
    window.requestAnimationFrame((next) => this.tick(next));
  }
}

$("save").prepend(icon("save"));
window.loom = new App(); // for the console, and for tests
