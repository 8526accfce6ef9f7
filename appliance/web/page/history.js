// How the box has fared: a handful of plots over the last hour or day, fetched when they are due and in view.

import { Plot } from "./plot.js";
import { bytes, measure } from "./words.js";

const EVERY_MS = { hour: 10000, day: 60000 };
const TIMEOUT_MS = 8000;

const celsius = (value) => measure(value, "°C");
const fps = (value) => measure(value, "fps", value < 10 ? 1 : 0);
const ms = (value) => measure(value, "ms");
const percent = (value) => measure(value, "%");

/** Shows the history in `section`; `url(span)` is where it is asked for. */
export class History {
  #section;
  #url;
  #span = "hour";
  #timer;
  #inView = false;
  #marks = [];
  #plots = {
    heat: new Plot({ title: "Temperature", lines: [{ key: "soc_temp_c", name: "" }], show: celsius, least: 60, floor: 20 }),
    cooling: new Plot({
      title: "Cooling state", lines: [{ key: "cooling_state", name: "" }], show: (value) => String(Math.round(value)),
      least: 1, steps: true,
    }),
    rate: new Plot({
      title: "Frames", show: fps, least: 1,
      lines: [{ key: "answered_fps", name: "answered" }, { key: "refused_fps", name: "refused" }],
    }),
    latency: new Plot({
      title: "Latency", show: ms, least: 20,
      lines: [{ key: "latency_p50_ms", name: "half within" }, { key: "latency_p95_ms", name: "95 % within" }],
    }),
    cpu: new Plot({ title: "Processor", lines: [{ key: "cpu_percent", name: "" }], show: percent, least: 100 }),
    memory: new Plot({ title: "Memory free", lines: [{ key: "memory_available_bytes", name: "" }], show: bytes }),
  };

  constructor(section, url) {
    this.#section = section;
    this.#url = url;
    section.querySelector(".plots").append(...Object.values(this.#plots).map((plot) => plot.element));
    for (const button of section.querySelectorAll("button")) {
      button.addEventListener("click", () => this.#choose(button.value));
    }
    new IntersectionObserver(([{ isIntersecting }]) => {
      this.#inView = isIntersecting;
      this.pull();
    }, { rootMargin: "200px" }).observe(section);
  }

  /** Takes what /health says of the temperatures that must not be reached. */
  update({ device, governor }) {
    this.#marks = [
      { value: governor?.target_temp_c, name: "target" },
      { value: device?.trip_temp_c, name: "throttles at" },
    ];
  }

  /** Asks for the newest, and again when there is more. */
  async pull() {
    clearTimeout(this.#timer);
    if (!this.#inView || document.hidden) return;
    this.#timer = setTimeout(() => this.pull(), EVERY_MS[this.#span]);
    try {
      const response = await fetch(this.#url(this.#span), {
        cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      if (response.ok) this.#draw(await response.json());
    } catch {
      // The header of the page says when the box is silent; the next turn tries again.
    }
  }

  #choose(span) {
    this.#span = span;
    for (const button of this.#section.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.value === span));
    }
    this.pull();
  }

  #draw(history) {
    this.#section.hidden = false;
    for (const plot of Object.values(this.#plots)) plot.draw(history, plot === this.#plots.heat ? this.#marks : []);
    const ago = this.#span === "hour" ? "an hour ago" : "a day ago";
    for (const label of this.#section.querySelectorAll(".ago")) label.textContent = ago;
  }
}
