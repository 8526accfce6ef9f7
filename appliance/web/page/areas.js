// Draws zones and masks on a camera's latest picture, with pointer or keyboard. Coordinates are parts of the picture's
// width and height, so that they hold for any resolution.

import { make } from "./format.js";
import { t } from "./language.js";
import { picturePath } from "./picture.js";
import { address, readJson } from "./source.js";

const SVG = "http://www.w3.org/2000/svg";
const UNITS = 1000;
const STEP = 0.02;
const MOST_POINTS = 64;
const LOAD_TIMEOUT_MS = 4000;
const MOVES = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };

export class AreaEditor {
  #camera;
  #areas = [];
  #points = [];
  #cursor = [0.5, 0.5];
  #svg = document.createElementNS(SVG, "svg");
  #list = make("ul", "", { class: "areas" });
  #value = make("input", "", { type: "hidden", name: "areas" });
  #name = make("input", "", { maxlength: 64, "data-area": "name" });
  #kind = make("select", "", { "data-area": "kind" });
  #add = make("button", t("areas.add"), { type: "button", "data-area": "add" });
  #undo = make("button", t("areas.undo"), { type: "button", "data-area": "undo" });

  constructor(camera) {
    this.#camera = camera;
    this.element = make("div", "", { class: "area-editor" });
    this.#svg.setAttribute("viewBox", `0 0 ${UNITS} ${UNITS}`);
    this.#svg.setAttribute("preserveAspectRatio", "none");
    this.#svg.setAttribute("tabindex", "0");
    this.#svg.setAttribute("role", "application");
    this.#svg.setAttribute("aria-label", t("areas.hint"));
    this.#svg.addEventListener("pointerdown", (event) => this.#addPoint(this.#placeOf(event)));
    this.#svg.addEventListener("keydown", (event) => this.#pressed(event));
    for (const kind of ["zone", "mask"]) this.#kind.append(make("option", t(`areas.${kind}`), { value: kind }));
    this.#add.addEventListener("click", () => this.#close());
    this.#undo.addEventListener("click", () => { this.#points.pop(); this.#draw(); });
    for (const field of [this.#name, this.#kind]) field.addEventListener("input", () => this.#draw());
    const row = make("div", "", { class: "row" });
    row.append(this.#undo, this.#add);
    this.element.append(this.#pictureFrame(), make("p", t("areas.hint")), labelled("areas.name", this.#name),
      labelled("areas.kind", this.#kind), row, this.#list, this.#value);
    this.#draw();
    this.#load();
  }

  #pictureFrame() {
    const frame = make("div", "", { class: "area-picture" });
    const missing = make("p", t("areas.no_picture"));
    const picture = make("img", "", { alt: "" });
    picture.addEventListener("load", () => { missing.hidden = true; });
    picture.src = address(picturePath(this.#camera), { withToken: true });
    frame.append(picture, missing, this.#svg);
    return frame;
  }

  async #load() {
    const answer = await readJson(`cameras/${encodeURIComponent(this.#camera)}/areas`, LOAD_TIMEOUT_MS);
    if (answer?.status !== 200) return;
    for (const kind of ["zone", "mask"]) {
      for (const [name, area] of Object.entries(answer.body[`${kind}s`])) this.#areas.push({ kind, name, ...area });
    }
    this.#draw();
  }

  #placeOf(event) {
    const { left, top, width, height } = this.#svg.getBoundingClientRect();
    return [(event.clientX - left) / width, (event.clientY - top) / height];
  }

  #pressed(event) {
    if (event.key in MOVES) {
      this.#cursor = this.#cursor.map((value, axis) => within(value + MOVES[event.key][axis]));
    } else if (event.key === "Enter" || event.key === " ") {
      this.#addPoint(this.#cursor);
    } else if (event.key === "Backspace") {
      this.#points.pop();
    } else {
      return;
    }
    event.preventDefault();
    this.#draw();
  }

  #addPoint(place) {
    this.#cursor = place.map((value) => Number(within(value).toFixed(4)));
    if (this.#points.length < MOST_POINTS) this.#points.push(this.#cursor);
    this.#draw();
  }

  #close() {
    this.#areas = this.#withPending();
    this.#points = [];
    this.#name.value = "";
    this.#draw();
  }

  #isComplete() {
    return this.#points.length >= 3 && this.#name.value.trim() !== "";
  }

  /** All areas, also the one that is being drawn if it is complete: saving does not need "Add area". */
  #withPending() {
    if (!this.#isComplete()) return this.#areas;
    const [kind, name] = [this.#kind.value, this.#name.value.trim()];
    const others = this.#areas.filter((area) => !(area.drawn && area.kind === kind && area.name === name));
    return [...others, { kind, name, points: this.#points, drawn: true }];
  }

  #draw() {
    const shapes = this.#areas.map(({ kind, points }) => shape("polygon", kind, points));
    const line = shape("polyline", "new", this.#points);
    const corners = this.#points.map((point) => shape("circle", "new", [point]));
    this.#svg.replaceChildren(...shapes, line, ...corners, shape("circle", "cursor", [this.#cursor]));
    this.#add.disabled = !this.#isComplete();
    this.#undo.disabled = !this.#points.length;
    this.#list.replaceChildren(...this.#areas.map((area) => this.#line(area)));
    this.#list.hidden = !this.#areas.length;
    this.#value.value = JSON.stringify(drawnOf(this.#withPending()));
  }

  #line(area) {
    const item = make("li", `${area.name} (${t(`areas.${area.kind}`)})`);
    if (area.drawn) {
      const remove = make("button", t("areas.delete"), { type: "button", "aria-label": `${t("areas.delete")}: ${area.name}` });
      remove.addEventListener("click", () => {
        this.#areas = this.#areas.filter((other) => other !== area);
        this.#draw();
      });
      item.append(remove);
    } else {
      item.append(make("span", t("areas.from_settings")));
    }
    return item;
  }
}

/** What was drawn, as the service takes it. */
function drawnOf(areas) {
  const drawn = areas.filter((area) => area.drawn);
  const zones = drawn.filter(({ kind }) => kind === "zone").map(({ name, points, classes }) => [name, { points, classes: classes ?? [] }]);
  const masks = drawn.filter(({ kind }) => kind === "mask").map(({ name, points }) => [name, points]);
  return { zones: Object.fromEntries(zones), masks: Object.fromEntries(masks) };
}

function shape(tag, kind, points) {
  const element = document.createElementNS(SVG, tag);
  element.setAttribute("class", kind);
  const [first] = points;
  if (tag === "circle") {
    for (const [name, value] of [["cx", first[0] * UNITS], ["cy", first[1] * UNITS], ["r", 8]]) element.setAttribute(name, value);
  } else {
    element.setAttribute("points", points.map(([x, y]) => `${x * UNITS},${y * UNITS}`).join(" "));
  }
  return element;
}

function within(value) {
  return Math.min(1, Math.max(0, value));
}

function labelled(key, field) {
  const label = make("label", t(key));
  label.append(field);
  return label;
}
