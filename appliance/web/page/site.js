// The devices of the site: state, heat and cameras of each, as it describes itself, and links to its page. A device that
// has gone stays in the list for a day.

import { cameraLink } from "./findings.js";
import { fromTemplate, make, naturally, setText } from "./format.js";
import { fps, measure, t } from "./language.js";

const STATES = ["ok", "degraded", "critical"];
// The mark of a state is that of cameras; see page.css.
const MARKS = { ok: "ok", degraded: "limited", critical: "silent", gone: "silent", drained: "idle" };

export class Site {
  #section;
  #link;
  #rows = new Map();

  /** `section`: where the devices are listed. `link`: the link to it. Both are hidden on a device that stands alone. */
  constructor(section, link) {
    this.#section = section;
    this.#link = link;
  }

  /** Whether this device knows of others, or could. */
  get isOne() {
    return this.#rows.size > 0;
  }

  /** Shows the answer of `GET /site`. */
  show({ device: own = "", devices = [], gone = [] }) {
    const all = [...devices, ...gone].sort((a, b) => naturally(a.device, b.device));
    this.#section.hidden = this.#link.hidden = all.length === 0;
    const names = new Set(all.map(({ device }) => device));
    for (const [name, row] of this.#rows) {
      if (names.has(name)) continue;
      row.element.remove();
      this.#rows.delete(name);
    }
    const list = this.#section.querySelector("ul");
    all.forEach((one, index) => {
      if (!this.#rows.has(one.device)) this.#rows.set(one.device, new DeviceRow());
      const row = this.#rows.get(one.device);
      row.show(one, one.device === own);
      if (list.children[index] !== row.element) list.insertBefore(row.element, list.children[index] ?? null);
    });
  }
}

class DeviceRow {
  #cameras = [];
  #page = "";
  #listed = "";

  constructor() {
    this.element = fromTemplate("site-device-template");
    this.element.querySelector("details").addEventListener("toggle", () => this.#list());
  }

  show(one, isThis) {
    const part = (selector) => this.element.querySelector(selector);
    const state = stateOf(one);
    this.element.dataset.state = MARKS[state];
    setText(part(".name"), one.device);
    setText(part(".state"), stateText(state, one));
    setText(part(".facts"), factsText(one, isThis));
    this.#page = isThis ? "" : pageOf(one.url);
    const link = part("a");
    if (isThis) link.href = "#device";
    else if (this.#page) link.href = this.#page;
    else link.removeAttribute("href");
    this.#cameras = [...one.cameras ?? []].sort(naturally);
    setText(part("summary"), this.#cameras.length ? t("site.cameras", { count: this.#cameras.length }) : "");
    part("details").hidden = this.#cameras.length === 0;
    this.#list();
  }

  // Hundreds of names: made only where somebody looks at them, and only when they change.
  #list() {
    const details = this.element.querySelector("details");
    const listed = JSON.stringify([this.#page, this.#cameras]);
    if (!details.open || listed === this.#listed) return;
    this.#listed = listed;
    details.querySelector("ul").replaceChildren(...this.#cameras.map((name) => {
      const item = make("li");
      const href = this.#page === null ? null : this.#page + cameraLink(name);
      item.append(make("a", name, href === null ? {} : { href }));
      return item;
    }));
  }
}

function stateOf(one) {
  if (Number.isFinite(one.silent_s)) return "gone";
  if (one.drained) return "drained";
  return STATES.includes(one.state) ? one.state : "degraded";
}

function stateText(state, one) {
  if (state === "gone") return t("site.gone", { silent_s: one.silent_s });
  return state === "drained" ? t("site.drained") : t(`state.${state}`);
}

function factsText(one, isThis) {
  const facts = isThis ? [t("site.this")] : [];
  if (Number.isFinite(one.temp_c)) facts.push(measure(one.temp_c, "°C"));
  if (one.headroom === 0 && !one.drained) facts.push(t("site.takes_none"));
  else if (one.headroom < 1 && !one.drained) facts.push(t("site.held", { headroom_percent: 100 * one.headroom }));
  if (Number.isFinite(one.capacity)) facts.push(t("site.capacity", { capacity: fps(one.capacity) }));
  return facts.join(" · ");
}

/** The address of a device's page, if it is one that a link may lead to; it comes from another machine. */
function pageOf(url) {
  try {
    const page = new URL(url);
    return ["http:", "https:"].includes(page.protocol) ? page.href : null;
  } catch {
    return null;
  }
}
