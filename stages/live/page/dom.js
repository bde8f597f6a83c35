// Small helpers that all parts of the live page share: elements, icons, numbers as text, settings that outlive a reload.
// No inline style anywhere: the server's Content-Security-Policy forbids it, and a style sheet is the better place.

/** An element. `attrs`: attributes; `class`, `text`, `on` ({event: listener}) and `data` ({name: value}) have a meaning of their own. */
export function el(tag, attrs = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attrs)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "class") node.className = value;
    else if (key === "text") node.textContent = value;
    else if (key === "on") Object.entries(value).forEach(([event, listener]) => node.addEventListener(event, listener));
    else if (key === "data") Object.assign(node.dataset, value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Write text only where it has changed, so that an idle page lays out nothing. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const ICONS = {
  pause: "M5 3h2.5v10H5zM8.5 3H11v10H8.5z",
  play: "M4.5 2.5l8.5 5.5-8.5 5.5z",
  back: "M4 3h1.8v10H4zM13 3v10L6.5 8z",
  forward: "M10.200 3H12v10h-1.800zM3 3l6.500 5L3 13z",
  save: "M7.300 2h1.400v6.200l2.300-2.300 1 1L8 10.900 4 6.900l1-1 2.300 2.300zM3 12.400h10v1.400H3z",
  enlarge:
    "M9.500 2.500h4v4h-1.400V4.900L9.300 7.700l-1-1 2.800-2.800H9.500zM6.500 13.500h-4v-4h1.400v1.600l2.800-2.800 1 1-2.800 2.800h1.600z",
  close: "M4 3l4 4 4-4 1 1-4 4 4 4-1 1-4-4-4 4-1-1 4-4-4-4z",
};

/** A picture on a button. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** A button with a picture; `label` is what a screen reader says and the tooltip shows. */
export function iconButton(name, label, click) {
  return el("button", { type: "button", class: "icon", title: label, "aria-label": label, on: { click } }, icon(name));
}

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** A count with its thousands parted, or a dash where there is none. */
export function count(value) {
  return Number.isFinite(value) ? grouped.format(value) : "\u2013";
}

const SUPERSCRIPT = "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079";

/** A number to so many digits, plain from a thousandth to a million and as a power of ten elsewhere. */
export function number(value, digits = 3) {
  if (!Number.isFinite(value)) return "\u2013";
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 1e6 || size < 1e-3) {
    const [mantissa, power] = value.toExponential(1).replace(/\.0e/, "e").replace(/^-/, "\u2212").split("e");
    const raised = Array.from(String(Number(power)), (sign) => (sign === "-" ? "\u207b" : SUPERSCRIPT[sign])).join("");
    return `${mantissa === "1" ? "" : `${mantissa}\u00b7`}10${raised}`;
  }
  if (size >= 10 ** Math.min(digits, 3)) return grouped.format(value).replace("-", "\u2212");
  return value
    .toPrecision(digits)
    .replace(/(\.\d*?)0+$/, "$1")
    .replace(/\.$/, "")
    .replace("-", "\u2212");
}

/** Seconds as 0:07, 12:34 or 3:02:01. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "\u2013";
  const whole = Math.max(0, Math.floor(seconds));
  const two = (part) => String(part).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** What the user has chosen; kept by the browser where it allows that. */
export const settings = {
  get(name, otherwise) {
    try {
      return window.localStorage.getItem("loom." + name) ?? otherwise;
    } catch {
      return otherwise;
    }
  },
  set(name, value) {
    try {
      window.localStorage.setItem("loom." + name, value);
    } catch {
      /* private windows: the choice holds until the page is closed */
    }
  },
};
