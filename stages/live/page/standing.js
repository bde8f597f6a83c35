// How things stand with the run, in the one word of the page's head: what is true, not what was last heard. Pure: no page, no
// socket.

const ENDS = ["finished", "stopped", "failed", "killed"];

/** What the run has ended as, by the code with which the server closed (stages/live/live.c); null: that does not tell. */
export function endingOf(code) {
  return { 4001: "finished", 4002: "stopped", 4003: "failed" }[code] ?? null;
}

/** Whether the run goes on no more. */
export function isOver(state) {
  return ENDS.includes(state);
}

/**
 * The word. `connection`: connecting, open or waiting; `scene`, `status`: the newest messages, or null; `silent_s`: for how long
 * the launcher has written nothing new, in seconds.
 */
export function standing({ connection, scene, status, silent_s = 0 }) {
  if (scene === null) return "";
  const { state = null, ending = null } = status ?? {};
  if (isOver(state)) return state;
  if (connection !== "open") return "connection lost";
  if (isOver(ending)) return ending === "finished" ? "finished" : "stopping";
  if (state === "running" && silent_s > 10) return "silent";
  return state ?? (scene.mode === "recording" ? "recording" : "live");
}
