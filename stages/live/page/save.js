// Save what is seen as PNG: one figure, or the whole page. The picture is drawn anew from the elements as they lie on the page
// (backgrounds, borders, canvases, texts), at a higher resolution than the screen's, so that numbers stay sharp in a paper.
// Controls are left out. It knows what this page consists of, no more of CSS than that.

import { el } from "./dom.js";

const PIXELS_MAX = 6e7; // of a picture; larger ones are made at a lower resolution
const SCALE = 3;
const LEFT_OUT = "button:not(.link), select, input, label, details:not([open]), #controls, .tools, .unseen";

const visible = (style) => style.display !== "none" && style.visibility !== "hidden" && Number(style.opacity) > 0.05;

function paintBox(context, style, box) {
  if (!/rgba\(.*, 0\)|transparent/.test(style.backgroundColor)) {
    context.fillStyle = style.backgroundColor;
    context.beginPath();
    context.roundRect(box.left, box.top, box.width, box.height, parseFloat(style.borderRadius) || 0);
    context.fill();
  }
  const edges = { Top: [0, 0, 1, 0], Bottom: [0, 1, 1, 0], Left: [0, 0, 0, 1], Right: [1, 0, 0, 1] };
  for (const [side, [x, y, w, h]] of Object.entries(edges)) {
    const width = parseFloat(style[`border${side}Width`]);
    if (!width || style[`border${side}Style`] === "none") continue;
    context.fillStyle = style[`border${side}Color`];
    context.fillRect(
      box.left + x * (box.width - width),
      box.top + y * (box.height - width),
      w ? box.width : width,
      h ? box.height : width,
    );
  }
}

/** The words of a text where they stand: a range a word, since a line may break between any two. */
function paintText(context, node, style) {
  const range = document.createRange();
  context.font = `${style.fontStyle} ${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
  context.fillStyle = style.color;
  for (const word of node.data.matchAll(/\S+/g)) {
    range.setStart(node, word.index);
    range.setEnd(node, word.index + word[0].length);
    const box = range.getBoundingClientRect();
    context.letterSpacing = "0px";
    const size = context.measureText(word[0]);
    // A canvas knows no tabular digits: spread the word over the width that it has on the page.
    context.letterSpacing = `${(box.width - size.width) / word[0].length}px`;
    const ascent =
      size.fontBoundingBoxAscent + (box.height - size.fontBoundingBoxAscent - size.fontBoundingBoxDescent) / 2;
    if (box.width > 0) context.fillText(word[0], box.left, box.top + ascent);
  }
}

function paintElement(context, node, scale) {
  const style = getComputedStyle(node);
  if (!visible(style) || node.matches(LEFT_OUT)) return;
  const box = node.getBoundingClientRect();
  if (box.width === 0 || box.height === 0) return;
  paintBox(context, style, box);
  if (node instanceof HTMLCanvasElement) {
    context.imageSmoothingEnabled = node.width > box.width * scale * 1.01;
    context.imageSmoothingQuality = "high";
    if (node.width > 0 && node.height > 0) context.drawImage(node, box.left, box.top, box.width, box.height);
    return;
  }
  for (const child of node.childNodes) {
    if (child.nodeType === Node.TEXT_NODE) paintText(context, child, style);
    else if (child.nodeType === Node.ELEMENT_NODE && !(child instanceof SVGElement))
      paintElement(context, child, scale);
  }
}

/** A canvas with `root` as it is seen, and some margin. */
export function drawPage(root) {
  const margin = 12;
  const box = root.getBoundingClientRect();
  const [width, height] = [box.width + 2 * margin, box.height + 2 * margin];
  const scale = Math.min(SCALE, Math.sqrt(PIXELS_MAX / (width * height)));
  const canvas = el("canvas", { width: Math.round(width * scale), height: Math.round(height * scale) });
  const context = canvas.getContext("2d");
  context.fillStyle = getComputedStyle(document.body).backgroundColor;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.scale(scale, scale);
  context.translate(margin - box.left, margin - box.top);
  context.textBaseline = "alphabetic";
  paintElement(context, root, scale);
  return canvas;
}

/** Save `root` as PNG; its name comes from the run, `title` and the frame shown (body's data-run and data-seq). */
export function savePicture(root, title) {
  const { run, seq } = document.body.dataset;
  const name = [run, title, seq]
    .filter(Boolean)
    .join("-")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-");
  drawPage(root).toBlob((blob) => {
    const url = URL.createObjectURL(blob);
    const link = el("a", { href: url, download: `${name}.png` });
    link.click();
    window.setTimeout(() => URL.revokeObjectURL(url), 10000);
  }, "image/png");
}
