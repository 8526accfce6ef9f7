// An SVG plot over time: one or more lines, each on the left or the right axis, horizontal limit lines, and the values at
// the moment that a pointer, a finger or the arrow keys choose. Missing values leave a gap in the line.
//
// docs/decisions/0012 says why this is not a library.

import { ticks, timeTicks } from "./axis.js";
import { fromTemplate, make, setText } from "./format.js";
import { clock, t, tick } from "./language.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 600;
const HEIGHT = 120;
// Space above the highest limit for its label.
const HEADROOM = 1.02;
// The width that a time of day takes with the space around it, and how many there are at most.
const TIME_EM = 3.2;
const MOST_TIMES = 5;
const SIDES = ["left", "right"];
const KEYS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity };

/** A plot in its own `figure`.
 *
 * `lines`: as [{ key, name, format, side }], the main one first; `format(value)` returns a value as text. `minTop`: lower
 * bound for the top of the left axis, so that noise near zero is not magnified. `bottom`: upper bound for its bottom.
 * `steps`: draws each value as constant until the next one. `whole`: the values are whole numbers.
 */
export class Plot {
  #lines;
  #minTop;
  #bottom;
  #steps;
  #whole;
  #part;
  #data = null;
  #chosen = null;

  constructor({ title, lines, minTop = 1, bottom = 0, steps = false, whole = false }) {
    this.#lines = lines.map((one) => ({ side: "left", name: "", ...one }));
    this.#minTop = minTop;
    this.#bottom = bottom;
    this.#steps = steps;
    this.#whole = whole;
    this.element = fromTemplate("plot-template");
    this.#part = (selector) => this.element.querySelector(selector);
    setText(this.#part("h3"), title);
    this.#part("svg").setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    const area = this.#part(".area");
    area.setAttribute("aria-label", title);
    for (const event of ["pointermove", "pointerdown"]) area.addEventListener(event, (moved) => this.#atPointer(moved));
    area.addEventListener("pointerleave", (left) => { if (left.pointerType === "mouse") this.#choose(null); });
    area.addEventListener("keydown", (pressed) => this.#atKey(pressed));
    area.addEventListener("blur", () => this.#choose(null));
  }

  /** Draws `history` (a /health/history response); `marks`: limit lines of the left axis as [{ value, name }]. */
  draw(history, marks = []) {
    const sameMoment = this.#data?.start === history.start ? this.#chosen : null;
    this.#data = history;
    const limits = marks.filter(({ value }) => Number.isFinite(value));
    const scales = Object.fromEntries(SIDES.map((side) => [side, this.#scale(side, limits)]));
    const drawn = scales.left.ticks.map((value) => path(`M0 ${scales.left.y(value)}H${WIDTH}`, "grid"));
    for (const { value } of limits) drawn.push(path(`M0 ${scales.left.y(value)}H${WIDTH}`, "mark"));
    this.#lines.forEach(({ key, side }, index) => {
      drawn.push(path(pathOf(this.#column(key), scales[side].y, this.#steps), `line line-${index}`));
    });
    this.#part("svg").replaceChildren(...drawn);
    for (const side of SIDES) {
      const { format } = this.#lines.find((one) => one.side === side) ?? {};
      const labels = format && this.#isKnown(side) ? scales[side].ticks.map((value) =>
        at(make("span", format(value)), "top", scales[side].y(value) / HEIGHT)) : [];
      this.#part(`.axis.${side}`).replaceChildren(...labels);
      this.#part(`.axis.${side}`).hidden = !this.#lines.some((one) => one.side === side);
    }
    // The label of the highest limit is above its line, all others are below theirs.
    const highest = Math.max(...limits.map(({ value }) => value));
    this.#part(".marks").replaceChildren(...limits.map(({ value, name }) => {
      const label = make("span", `${name} ${this.#lines[0].format(value)}`);
      label.classList.toggle("is-above", value === highest);
      return at(label, "top", scales.left.y(value) / HEIGHT);
    }));
    const end = history.start + (this.#count - 1) * history.step_s;
    const times = this.#part(".times");
    const most = times.clientWidth / (TIME_EM * Number.parseFloat(getComputedStyle(times).fontSize));
    times.replaceChildren(...timeTicks(history.start, end, Math.min(MOST_TIMES, most)).map((at_s) =>
      at(make("span", tick(new Date(at_s * 1000))), "left", (at_s - history.start) / Math.max(1, end - history.start))));
    this.#choose(sameMoment);
  }

  get #count() {
    return this.#column(this.#lines[0].key).length;
  }

  #column(key) {
    return this.#data.columns[key] ?? [];
  }

  #values(side) {
    return this.#lines.filter((one) => one.side === side).flatMap(({ key }) => this.#column(key)).filter(Number.isFinite);
  }

  #isKnown(side) {
    return this.#values(side).length > 0;
  }

  #scale(side, limits) {
    const values = this.#values(side);
    const isLeft = side === "left";
    let high = isLeft ? this.#minTop : 1;
    for (const value of values) high = Math.max(high, value);
    if (isLeft) for (const { value } of limits) high = Math.max(high, value * HEADROOM);
    let low = isLeft ? this.#bottom : 0;
    for (const value of values) low = Math.min(low, value);
    const at = ticks(low, high, 4, this.#whole);
    const [bottom, top] = [at[0], at.at(-1)];
    return { ticks: at, y: (value) => HEIGHT - ((value - bottom) / (top - bottom)) * HEIGHT };
  }

  // The chosen moment

  #atPointer(event) {
    if (!this.#data || !this.#count) return;
    const area = this.#part("svg").getBoundingClientRect();
    const share = (event.clientX - area.left) / area.width;
    this.#choose(Math.min(this.#count - 1, Math.max(0, Math.round(share * (this.#count - 1)))));
  }

  #atKey(event) {
    if (event.key === "Escape") this.#choose(null);
    if (!(event.key in KEYS) || !this.#data || !this.#count) return;
    event.preventDefault();
    const last = this.#count - 1;
    this.#choose(Math.min(last, Math.max(0, (this.#chosen ?? last) + KEYS[event.key])));
  }

  /** Shows the values at an index; null: the latest ones. */
  #choose(index) {
    this.#chosen = index;
    this.#part("svg .cursor")?.remove();
    if (!this.#data) return;
    const last = Math.max(0, this.#count - 1);
    const values = this.#lines.map(({ key }) =>
      index === null ? this.#column(key).findLast(Number.isFinite) : this.#column(key)[index]);
    const texts = this.#lines.map(({ name, format }, line) =>
      Number.isFinite(values[line]) ? [name, format(values[line])].filter(Boolean).join(" ") : null);
    const text = texts.filter(Boolean).join(", ") || t("plot.no_data");
    const when = clock(new Date((this.#data.start + (index ?? last) * this.#data.step_s) * 1000));
    setText(this.#part(".value"), index === null ? text : `${text} · ${when}`);
    const area = this.#part(".area");
    area.setAttribute("aria-valuemax", String(last));
    area.setAttribute("aria-valuenow", String(index ?? last));
    area.setAttribute("aria-valuetext", `${when}: ${text}`);
    if (index === null) return;
    const x = (index / Math.max(1, last)) * WIDTH;
    this.#part("svg").append(path(`M${x} 0V${HEIGHT}`, "cursor"));
  }
}

function at(element, edge, share) {
  element.style[edge] = `${(100 * share).toFixed(2)}%`;
  return element;
}

/** An SVG path through the known values. */
function pathOf(values, y, steps) {
  const x = (index) => ((index / Math.max(1, values.length - 1)) * WIDTH).toFixed(1);
  let drawnPath = "";
  let drawing = false;
  values.forEach((value, index) => {
    if (!Number.isFinite(value)) {
      drawing = false;
      return;
    }
    const height = y(value).toFixed(1);
    if (!drawing) drawnPath += `M${x(index)} ${height}h0.5`;
    else drawnPath += steps ? `H${x(index)}V${height}` : `L${x(index)} ${height}`;
    drawing = true;
  });
  return drawnPath;
}

function path(shape, name) {
  const element = document.createElementNS(SVG, "path");
  element.setAttribute("d", shape);
  element.setAttribute("class", name);
  return element;
}
