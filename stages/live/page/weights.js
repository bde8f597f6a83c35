// Of when the weights are that stand beside a frame. In a recording they are those of the layer's file, whatever frame is looked
// at: that must be said wherever they are seen, or early frames would seem to have been learned from long ago. Pure.

import { count } from "./dom.js";

/**
 * "as saved after pass 8" of a layer from a file, "as they are now" of one that learns while older frames are looked at, and ""
 * where weights and frames are of one time. `layer`: {seq, saved}; `pass`: frames of one, 0: not known; `past`: whether what is
 * looked at is older than what comes.
 */
export function ageOf(layer, pass, past) {
  if (!layer) return "";
  if (!layer.saved) return past ? "as they are now" : "";
  const { seq } = layer;
  if (seq === 0) return "as initialised";
  if (!(pass > 0)) return `as saved after frame ${count(seq)}`;
  if (seq % pass === 0) return `as saved after pass ${count(seq / pass)}`;
  return `as saved after frame ${count(seq)}, in pass ${count(Math.floor(seq / pass) + 1)}`;
}
