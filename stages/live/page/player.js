// What is shown of the clips that come: which frame, how fast, paused or not. Live, the clip runs until its end and then the newest
// one that has come follows (or itself again); in a recording one clip continues the other, and a slider seeks.

const SEEK_EVERY_MS = 90; // at most so often is a question asked while the slider is drawn along
const SEEK_PATIENCE_MS = 4000; // an answer that has not come by then is not waited for
const CLIP_FRAMES = 64; // asked for at once

export class Player {
  /** `show(clip, frame)` paints; `ask(question)` sends to the server; `changed()` when the controls have something new to say. */
  constructor({ show, ask, changed }) {
    Object.assign(this, { show, ask, changed });
    this.clip = null;
    this.next = null; // the clip that follows
    this.frame = 0; // within the clip
    this.playing = true;
    this.speed = 25; // frames/s
    this.due = 0; // when the next frame is to be shown, in performance.now()'s milliseconds
    this.range = null; // of a recording: {first, frames, pass}
    this.target = null; // the frame number a seek is under way to
    this.asked = null; // {seq, at}: the question not answered yet
    this.lastAsked = 0;
    this.hopeless = null; // the frame number that the server could not give: not asked for again by itself
  }

  get seq() {
    return this.target ?? (this.clip === null ? null : this.clip.seq + this.frame);
  }

  /** What a slider can reach of a recording; null: what comes live is shown. It may grow. */
  setRange(range) {
    const begins = this.range === null && range !== null;
    this.range = range;
    if (range === null) this.asked = this.target = null;
    if (begins) {
      this.next = this.hopeless = null;
      this.seek(this.seq ?? range.first);
    }
    this.changed();
  }

  /** A clip has come: in a recording, of those only the answers to our own questions are of use. */
  offer(clip) {
    if (this.range !== null && this.clip !== null && clip.seq !== this.asked?.seq) return;
    this.asked = null;
    if (this.target !== null && this.holds(clip, this.target)) {
      this.use(clip, this.target - clip.seq);
      this.target = null;
    } else if (this.clip === null) {
      this.use(clip, 0);
    } else {
      this.next = clip;
    }
    this.changed();
  }

  holds(clip, seq) {
    return clip !== null && seq >= clip.seq && seq < clip.seq + clip.n;
  }

  use(clip, frame) {
    this.clip = clip;
    this.next = null;
    this.frame = Math.max(0, Math.min(frame, clip.n - 1));
    this.due = performance.now() + 1000 / this.speed;
    this.show(this.clip, this.frame);
  }

  /** To be called often; shows the next frame when it is due, and asks for what will be needed. */
  tick(now) {
    if (this.range !== null) this.prepare(now);
    if (!this.playing || this.clip === null || this.target !== null || now < this.due) return;
    const steps = Math.min(1 + Math.floor(((now - this.due) * this.speed) / 1000), 4); // a slow page skips, within reason
    this.due = Math.max(this.due + (steps * 1000) / this.speed, now - 200);
    this.advance(steps);
    this.changed();
  }

  advance(steps) {
    const frame = this.frame + steps;
    if (frame < this.clip.n) {
      this.frame = frame;
      this.show(this.clip, frame);
    } else if (this.range === null) {
      this.use(this.next ?? this.clip, 0);
    } else if (this.holds(this.next, this.clip.seq + this.clip.n)) {
      this.use(this.next, this.clip.seq + this.clip.n - this.next.seq);
    } else if (this.clip.seq + this.clip.n >= this.range.first + this.range.frames) {
      this.frame = this.clip.n - 1; // the end of the recording
      this.show(this.clip, this.frame);
      this.playing = false;
    }
  }

  /** Recording: ask for where the slider is, or for what comes after this clip. */
  prepare(now) {
    if (this.asked !== null && now - this.asked.at < SEEK_PATIENCE_MS) return;
    if (now - this.lastAsked < SEEK_EVERY_MS) return;
    const end = this.range.first + this.range.frames;
    let seq = this.target;
    if (seq === null && this.clip !== null && !this.holds(this.next, this.clip.seq + this.clip.n)) {
      seq = this.clip.seq + this.clip.n;
      if (seq === this.hopeless) return;
    }
    if (seq === null || seq >= end) return;
    if (this.ask({ t: "seek", seq, n: Math.min(CLIP_FRAMES, end - seq) })) this.asked = { seq, at: now };
    this.lastAsked = now;
  }

  /** The server could not answer: stay where we are. */
  refused() {
    this.hopeless = this.asked?.seq ?? this.hopeless;
    this.asked = this.target = null;
    this.changed();
  }

  /** Show frame number `seq` of the recording, or of the clip if it lies in it. */
  seek(seq) {
    if (this.range !== null) {
      seq = Math.max(this.range.first, Math.min(seq, this.range.first + this.range.frames - 1));
    }
    if (this.holds(this.clip, seq)) {
      this.target = null;
      this.frame = seq - this.clip.seq;
      this.show(this.clip, this.frame);
    } else if (this.range !== null) {
      this.target = seq;
      this.next = null;
    }
    this.changed();
  }

  /** One frame on or back; pauses. */
  step(by) {
    this.playing = false;
    if (this.clip !== null) {
      const seq = this.seq + by;
      if (this.range !== null || this.holds(this.clip, seq)) this.seek(seq);
    }
    this.changed();
  }

  toggle() {
    this.playing = !this.playing;
    const end = this.range === null || this.clip === null ? Infinity : this.range.first + this.range.frames;
    if (this.playing && this.seq >= end - 1) this.seek(this.range.first); // from the end: once more
    this.due = performance.now() + 1000 / this.speed;
    this.changed();
  }

  setSpeed(speed) {
    this.speed = speed;
    this.due = performance.now() + 1000 / speed;
    this.changed();
  }
}
