// The row of controls: pause, step, speed, the slider over the clip or the recording with its pass marks, and the keyboard.

import { count, el, icon, setText, settings } from "./dom.js";

const MARKS_MAX = 50; // pass marks under the slider; with more passes, every second, fifth, tenth, ... is marked

export class Controls {
  /** `element` is the row as it stands in the page; `player` what it controls. */
  constructor(element, player) {
    const find = (name) => element.querySelector(`[data-do=${name}]`);
    Object.assign(this, {
      element,
      player,
      toggle: find("toggle"),
      slider: find("seek"),
      speed: find("speed"),
      said: find("said"),
    });
    this.marks = find("marks");
    this.icons = { play: icon("play"), pause: icon("pause") };
    find("back").append(icon("back"));
    find("forward").append(icon("forward"));
    this.toggle.addEventListener("click", () => player.toggle());
    find("back").addEventListener("click", () => player.step(-1));
    find("forward").addEventListener("click", () => player.step(1));
    this.past = find("past");
    this.past.addEventListener("click", () => this.onPast?.(this.past.getAttribute("aria-pressed") !== "true"));
    this.slider.addEventListener("input", () => player.seek(Number(this.slider.value)));
    this.speed.value = settings.get("speed", "25");
    if (this.speed.selectedIndex < 0) this.speed.value = "25";
    this.speed.addEventListener("change", () => this.setSpeed());
    this.setSpeed();
    document.addEventListener("keydown", (event) => this.key(event));
    this.refresh();
  }

  /** Offer a way between what comes live and what is recorded already: `past` true or false, null where there is only one. */
  offerPast(past) {
    this.past.hidden = past === null;
    this.past.setAttribute("aria-pressed", String(past === true));
  }

  setSpeed() {
    settings.set("speed", this.speed.value);
    this.player.setSpeed(Number(this.speed.value));
  }

  changeSpeed(by) {
    const { options, selectedIndex } = this.speed;
    this.speed.selectedIndex = Math.max(0, Math.min(selectedIndex + by, options.length - 1));
    this.setSpeed();
  }

  key(event) {
    const within = (selector) => event.target instanceof Element && event.target.closest(selector) !== null;
    if (event.ctrlKey || event.metaKey || event.altKey || within("select, input, summary")) return;
    if (event.key === " " && within("button, a")) return; // presses it
    const action = {
      " ": () => this.player.toggle(),
      ArrowLeft: () => this.player.step(-1),
      ArrowRight: () => this.player.step(1),
      "[": () => this.changeSpeed(-1),
      "]": () => this.changeSpeed(1),
    }[event.key];
    if (!action) return;
    action();
    event.preventDefault();
  }

  /** Write what the player does. */
  refresh() {
    const { player, slider } = this;
    const label = player.playing ? "Pause the picture (space)" : "Play (space)";
    const shown = player.playing ? this.icons.pause : this.icons.play;
    if (this.toggle.firstChild !== shown) {
      this.toggle.replaceChildren(shown);
      this.toggle.title = label;
      this.toggle.setAttribute("aria-label", label);
    }
    const range = player.range ?? (player.clip ? { first: player.clip.seq, frames: player.clip.n, pass: 0 } : null);
    slider.disabled = range === null;
    if (range === null) return;
    const [min, max] = [String(range.first), String(range.first + range.frames - 1)];
    if (slider.min !== min || slider.max !== max) Object.assign(slider, { min, max });
    if (document.activeElement !== slider || player.target === null) slider.value = player.seq;
    const pass = player.clip?.pass;
    const where = Number.isFinite(pass) && player.target === null ? `, pass ${count(pass + 1)}` : "";
    setText(this.said, `frame ${count(player.seq)}${where}`);
    slider.setAttribute("aria-valuetext", this.said.textContent);
    this.mark(range);
  }

  /** Where passes begin. */
  mark({ first, frames, pass }) {
    const key = [first, frames, pass].join();
    if (!this.player.range || key === this.marked) return;
    this.marked = key;
    const passes = pass > 0 ? Math.floor((first + frames) / pass) : 0;
    const every = [1, 2, 5, 10, 20, 50, 100, 1000, 10000, 100000].find((k) => passes / k <= MARKS_MAX) ?? passes;
    const marks = [];
    for (let k = every; k <= passes && frames > 1; k += every) {
      const place = (k * pass - first) / (frames - 1);
      if (place <= 0 || place >= 1) continue;
      const mark = el("i", { title: `pass ${k + 1}` });
      mark.style.left = `${100 * place}%`;
      marks.push(mark);
    }
    this.marks.replaceChildren(...marks);
  }
}
