// The WebSocket to the server. It connects again by itself, waiting longer each time (1 s to 30 s, with some chance in it so
// that many pages do not come back at once), and says at every moment how things stand.

import { decode } from "./message.js";

const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 30000;
const SILENCE_MS = 15000; // the status comes every second: after this long without anything the connection is dead

/** The address of `path` on the server this page came from, with the page's token if it has one. */
export function address(path) {
  const token = new URLSearchParams(window.location.search).get("token");
  return path + (token === null ? "" : "?token=" + encodeURIComponent(token));
}

export class Connection {
  /**
   * `onMessage({head, arrays})` for every good message, `onProblem(text)` for a bad one,
   * `onState({state, wait_s})` with state connecting, open, or waiting (then again in wait_s seconds;
   * `reason` is what the server said when it closed, or "", `code` its closing code at that moment, else undefined).
   */
  constructor({ onMessage, onProblem, onState }) {
    Object.assign(this, { onMessage, onProblem, onState });
    this.wait = FIRST_WAIT_MS;
    this.heard = 0;
    this.reason = ""; // what the server said when it closed; kept until it is heard again
    this.connect();
    window.setInterval(() => this.watch(), 1000);
    window.addEventListener("online", () => this.now());
  }

  connect() {
    this.retryAt = 0;
    this.onState({ state: "connecting" });
    const scheme = window.location.protocol === "https:" ? "wss://" : "ws://";
    const socket = new WebSocket(scheme + window.location.host + address("/ws"), "loom-1");
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.heard = Date.now();
      this.onState({ state: "open" });
    };
    socket.onmessage = (event) => this.take(event.data);
    socket.onclose = (event) => {
      if (this.socket === socket) this.lost(event.reason, event.code);
    };
    this.socket = socket;
  }

  take(data) {
    this.heard = Date.now();
    this.reason = "";
    this.wait = FIRST_WAIT_MS; // something came: whatever ends this connection is a new trouble
    try {
      this.onMessage(decode(data));
    } catch (problem) {
      this.onProblem(`A message could not be read: ${problem.message}.`);
    }
  }

  /** `reason`, `code`: what the server said when it closed, if anything. */
  lost(reason = "", code = undefined) {
    this.socket = null;
    if (reason !== "") this.reason = reason;
    const wait = this.wait * (0.75 + 0.5 * Math.random());
    this.retryAt = Date.now() + wait;
    this.wait = Math.min(2 * this.wait, LONGEST_WAIT_MS);
    this.onState({ state: "waiting", wait_s: Math.ceil(wait / 1000), reason: this.reason, code });
  }

  /** Every second: a dead connection is given up, and a wait comes to its end. */
  watch() {
    if (this.socket?.readyState === WebSocket.OPEN && Date.now() - this.heard > SILENCE_MS) {
      const dead = this.socket;
      this.lost();
      dead.close();
    } else if (this.retryAt > 0) {
      const left = this.retryAt - Date.now();
      if (left <= 0) this.connect();
      else this.onState({ state: "waiting", wait_s: Math.ceil(left / 1000), reason: this.reason });
    }
  }

  /** Do not wait any longer. */
  now() {
    if (this.retryAt > 0) this.connect();
  }

  /** Send a question; false if there is no connection. */
  send(question) {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(question));
    return true;
  }
}
