// The history section: plots of the last hour or day, refreshed periodically while in view.

import { Plot } from "./plot.js";
import { bytes, measure } from "./format.js";

const REFRESH_MS = { hour: 10000, day: 60000 };
const TIMEOUT_MS = 8000;

const celsius = (value) => measure(value, "°C");
const fps = (value) => measure(value, "fps", value < 10 ? 1 : 0);
const ms = (value) => measure(value, "ms");
const percent = (value) => measure(value, "%");

/** Shows `/health/history` in `section`; `url(span)` returns its address for a time range. */
export class History {
  #section;
  #url;
  #span = "hour";
  #timer;
  #inView = false;
  #marks = [];
  #plots = {
    temperature: new Plot({ title: "Temperature", lines: [{ key: "soc_temp_c", name: "" }], format: celsius, minTop: 60, bottom: 20 }),
    throttle: new Plot({
      title: "Throttle level", lines: [{ key: "cooling_state", name: "" }], format: (value) => String(Math.round(value)),
      minTop: 1, steps: true,
    }),
    rate: new Plot({
      title: "Frame rate", format: fps, minTop: 1,
      lines: [{ key: "answered_fps", name: "answered" }, { key: "refused_fps", name: "refused" }],
    }),
    latency: new Plot({
      title: "Latency", format: ms, minTop: 20,
      lines: [{ key: "latency_p50_ms", name: "median" }, { key: "latency_p95_ms", name: "95th percentile" }],
    }),
    cpu: new Plot({ title: "CPU usage", lines: [{ key: "cpu_percent", name: "" }], format: percent, minTop: 100 }),
    memory: new Plot({
      title: "Memory available", lines: [{ key: "memory_available_bytes", name: "" }], format: bytes,
    }),
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
      this.refresh();
    }, { rootMargin: "200px" }).observe(section);
  }

  /** Reads the temperature limits from a /health response. */
  update({ device, governor }) {
    this.#marks = [
      { value: governor?.target_temp_c, name: "target" },
      { value: device?.trip_temp_c, name: "throttles at" },
    ];
  }

  /** Fetches and draws the history, then schedules the next refresh. */
  async refresh() {
    clearTimeout(this.#timer);
    if (!this.#inView || document.hidden) return;
    this.#timer = setTimeout(() => this.refresh(), REFRESH_MS[this.#span]);
    try {
      const response = await fetch(this.#url(this.#span), {
        cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      if (response.ok) this.#draw(await response.json());
    } catch {
      // The page header reports an unreachable device; the next refresh tries again.
    }
  }

  #choose(span) {
    this.#span = span;
    for (const button of this.#section.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.value === span));
    }
    this.refresh();
  }

  #draw(history) {
    this.#section.hidden = false;
    for (const plot of Object.values(this.#plots)) plot.draw(history, plot === this.#plots.temperature ? this.#marks : []);
    const ago = this.#span === "hour" ? "an hour ago" : "a day ago";
    for (const label of this.#section.querySelectorAll(".ago")) label.textContent = ago;
  }
}
