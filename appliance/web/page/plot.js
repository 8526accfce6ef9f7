// An SVG line plot: one or more series over time, horizontal limit lines, and the value under the pointer. Missing values
// leave a gap in the line.

import { setText } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 600;
const HEIGHT = 120;
// Space above the highest value for its label.
const HEADROOM = 1.22;

/** A plot in its own `figure`.
 *
 * `lines`: the series as [{ key, name }], the main one first. `format(value)` returns a value as text. `minTop`: lower
 * bound for the top of the scale, so that noise near zero is not magnified. `bottom`: upper bound for its bottom.
 * `steps`: draws each value as constant until the next one.
 */
export class Plot {
  #lines;
  #format;
  #minTop;
  #bottom;
  #steps;
  #part;
  #data = null;

  constructor({ title, lines, format, minTop = 1, bottom = 0, steps = false }) {
    this.#lines = lines;
    this.#format = format;
    this.#minTop = minTop;
    this.#bottom = bottom;
    this.#steps = steps;
    const template = document.getElementById("plot-template");
    this.element = template.content.firstElementChild.cloneNode(true);
    this.#part = (selector) => this.element.querySelector(selector);
    setText(this.#part("h3"), title);
    const svg = this.#part("svg");
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    svg.addEventListener("pointermove", (event) => this.#showAtPointer(event));
    svg.addEventListener("pointerleave", () => this.#showLatest());
  }

  /** Draws `history` (a /health/history response); `marks`: horizontal limit lines as [{ value, name }]. */
  draw(history, marks = []) {
    this.#data = history;
    const known = this.#lines.flatMap(({ key }) => history.columns[key] ?? []).filter(Number.isFinite);
    const limits = marks.filter(({ value }) => Number.isFinite(value));
    this.element.classList.toggle("is-empty", known.length === 0);
    const highest = Math.max(this.#minTop, ...known, ...limits.map(({ value }) => value));
    const bottom = Math.min(this.#bottom, ...known);
    const top = bottom + (highest - bottom) * HEADROOM;
    const y = (value) => HEIGHT - ((value - bottom) / (top - bottom)) * HEIGHT;
    const drawn = limits.map(({ value }) => line(`M0 ${y(value)}H${WIDTH}`, "mark"));
    this.#lines.forEach(({ key }, index) => {
      drawn.push(line(pathOf(history.columns[key] ?? [], y, this.#steps), `line line-${index}`));
    });
    this.#part("svg").replaceChildren(...drawn);
    // The label of the highest limit is above its line, all others are below theirs.
    const highestLimit = Math.max(...limits.map(({ value }) => value));
    this.#part(".marks").replaceChildren(...limits.map(({ value, name }) => {
      const label = document.createElement("span");
      label.textContent = `${name} ${this.#format(value)}`;
      label.style.top = `${(100 * y(value)) / HEIGHT}%`;
      label.classList.toggle("is-above", value === highestLimit);
      return label;
    }));
    this.#part(".top").style.top = `${(100 * y(highest)) / HEIGHT}%`;
    setText(this.#part(".top"), known.length ? this.#format(highest) : "");
    this.#showLatest();
  }

  #showLatest() {
    this.#part("svg .cursor")?.remove();
    if (!this.#data) return;
    const values = this.#lines.map(({ key }) => (this.#data.columns[key] ?? []).findLast(Number.isFinite));
    this.#showValues(values, "");
  }

  #showValues(values, when) {
    const texts = this.#lines.map(({ name }, index) =>
      Number.isFinite(values[index]) ? [name, this.#format(values[index])].filter(Boolean).join(" ") : null);
    setText(this.#part(".value"), [texts.filter(Boolean).join(", ") || "No data", when].filter(Boolean).join(" · "));
  }

  #showAtPointer(event) {
    const { start, step_s, columns } = this.#data ?? {};
    const count = columns?.[this.#lines[0].key]?.length;
    if (!count) return;
    const area = this.#part("svg").getBoundingClientRect();
    const index = Math.min(count - 1, Math.max(0, Math.round(((event.clientX - area.left) / area.width) * (count - 1))));
    this.#part("svg .cursor")?.remove();
    const x = (index / (count - 1)) * WIDTH;
    this.#part("svg").append(line(`M${x} 0V${HEIGHT}`, "cursor"));
    const time = new Date((start + index * step_s) * 1000);
    this.#showValues(this.#lines.map(({ key }) => columns[key]?.[index]),
      time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  }
}

/** An SVG path through the known values. */
function pathOf(values, y, steps) {
  const x = (index) => ((index / Math.max(1, values.length - 1)) * WIDTH).toFixed(1);
  let path = "";
  let drawing = false;
  values.forEach((value, index) => {
    if (!Number.isFinite(value)) {
      drawing = false;
      return;
    }
    const at = y(value).toFixed(1);
    if (!drawing) path += `M${x(index)} ${at}h0.5`;
    else path += steps ? `H${x(index)}V${at}` : `L${x(index)} ${at}`;
    drawing = true;
  });
  return path;
}

function line(path, name) {
  const element = document.createElementNS(SVG, "path");
  element.setAttribute("d", path);
  element.setAttribute("class", name);
  return element;
}
