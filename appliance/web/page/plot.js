// A line plot as SVG: the lines of one or more series over time, lines across it that must not be crossed, and the value
// under the finger. Where nothing is known the line has a gap; it is never drawn through.

import { say } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 600;
const HEIGHT = 120;
// Above the highest value there is room for its label.
const HEADROOM = 1.22;

/** A plot in a `figure` of its own.
 *
 * `lines`: [{ key, name }] of the series, the first one is the main one. `show(value)` puts a value into words. `least`:
 * the smallest top of the scale, so that noise near zero is not blown up. `steps`: values hold until the next one.
 */
export class Plot {
  #lines;
  #show;
  #least;
  #floor;
  #steps;
  #part;
  #data = null;

  constructor({ title, lines, show, least = 1, floor = 0, steps = false }) {
    this.#lines = lines;
    this.#show = show;
    this.#least = least;
    this.#floor = floor;
    this.#steps = steps;
    const template = document.getElementById("plot-template");
    this.element = template.content.firstElementChild.cloneNode(true);
    this.#part = (selector) => this.element.querySelector(selector);
    say(this.#part("h3"), title);
    const svg = this.#part("svg");
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    svg.addEventListener("pointermove", (event) => this.#point(event));
    svg.addEventListener("pointerleave", () => this.#sayNewest());
  }

  /** Draws `history` (`/health/history`); `marks`: [{ value, name }], lines across at values that matter. */
  draw(history, marks = []) {
    this.#data = history;
    const known = this.#lines.flatMap(({ key }) => history.columns[key] ?? []).filter(Number.isFinite);
    const crossed = marks.filter(({ value }) => Number.isFinite(value));
    this.element.classList.toggle("is-empty", known.length === 0);
    const highest = Math.max(this.#least, ...known, ...crossed.map(({ value }) => value));
    const bottom = Math.min(this.#floor, ...known);
    const top = bottom + (highest - bottom) * HEADROOM;
    const y = (value) => HEIGHT - ((value - bottom) / (top - bottom)) * HEIGHT;
    const drawn = crossed.map(({ value }) => line(`M0 ${y(value)}H${WIDTH}`, "mark"));
    this.#lines.forEach(({ key }, index) => {
      drawn.push(line(pathOf(history.columns[key] ?? [], y, this.#steps), `line line-${index}`));
    });
    this.#part("svg").replaceChildren(...drawn);
    // The highest one's label stands above its line, the others' below theirs.
    const highestMark = Math.max(...crossed.map(({ value }) => value));
    this.#part(".marks").replaceChildren(...crossed.map(({ value, name }) => {
      const label = document.createElement("span");
      label.textContent = `${name} ${this.#show(value)}`;
      label.style.top = `${(100 * y(value)) / HEIGHT}%`;
      label.classList.toggle("is-above", value === highestMark);
      return label;
    }));
    this.#part(".top").style.top = `${(100 * y(highest)) / HEIGHT}%`;
    say(this.#part(".top"), known.length ? this.#show(highest) : "");
    this.#sayNewest();
  }

  #sayNewest() {
    this.#part("svg .cursor")?.remove();
    if (!this.#data) return;
    const values = this.#lines.map(({ key }) => (this.#data.columns[key] ?? []).findLast(Number.isFinite));
    this.#say(values, "");
  }

  #say(values, when) {
    const words = this.#lines.map(({ name }, index) =>
      Number.isFinite(values[index]) ? [name, this.#show(values[index])].filter(Boolean).join(" ") : null);
    say(this.#part(".value"), [words.filter(Boolean).join(", ") || "nothing known", when].filter(Boolean).join(" · "));
  }

  #point(event) {
    const { start, step_s, columns } = this.#data ?? {};
    const count = columns?.[this.#lines[0].key]?.length;
    if (!count) return;
    const area = this.#part("svg").getBoundingClientRect();
    const index = Math.min(count - 1, Math.max(0, Math.round(((event.clientX - area.left) / area.width) * (count - 1))));
    this.#part("svg .cursor")?.remove();
    const x = (index / (count - 1)) * WIDTH;
    this.#part("svg").append(line(`M${x} 0V${HEIGHT}`, "cursor"));
    const time = new Date((start + index * step_s) * 1000);
    this.#say(this.#lines.map(({ key }) => columns[key]?.[index]),
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
