// Plots of the last hour or day, refreshed periodically while in view: the device's, and a camera's on its own page.

import { Plot } from "./plot.js";
import { bytes, fps, measure, number, t } from "./language.js";
import { readJson } from "./source.js";

const REFRESH_MS = { hour: 10000, day: 60000 };
const TIMEOUT_MS = 8000;

const celsius = (value) => measure(value, "°C");
const ms = (value) => measure(value, "ms");
const percent = (value) => measure(value, "%");

/** The plots of the device, in the order of the page. */
export function devicePlots() {
  return [
    new Plot({
      title: t("plot.temperature"), lines: [{ key: "soc_temp_c", format: celsius }], minTop: 60, bottom: 20,
    }),
    new Plot({
      title: t("plot.throttle"), lines: [{ key: "cooling_state", format: (value) => number(value) }], steps: true,
      whole: true,
    }),
    ratePlot(),
    new Plot({
      title: t("plot.latency"), minTop: 20,
      lines: [
        { key: "latency_p50_ms", name: t("plot.median"), format: ms },
        { key: "latency_p95_ms", name: t("plot.p95"), format: ms },
      ],
    }),
    new Plot({ title: t("plot.cpu"), lines: [{ key: "cpu_percent", format: percent }], minTop: 100 }),
    new Plot({ title: t("plot.memory"), lines: [{ key: "memory_available_bytes", format: bytes }], minTop: 1e8 }),
  ];
}

/** The plots of one camera. */
export function cameraPlots() {
  return [
    ratePlot(),
    new Plot({ title: t("plot.latency"), lines: [{ key: "latency_ms", format: ms }], minTop: 20 }),
  ];
}

// A camera that sends too fast is refused often: on one axis its answers would be a flat line.
function ratePlot() {
  return new Plot({
    title: t("plot.rate"),
    lines: [
      { key: "answered_fps", name: t("plot.answered"), format: fps },
      { key: "refused_fps", name: t("plot.refused"), format: fps, side: "right" },
    ],
  });
}

/** Shows `path(span)`, an address of /health/history, in `section`. */
export class History {
  #section;
  #path;
  #plots;
  #span = "hour";
  #timer;
  #inView = false;
  #marks = [];
  #seen;

  constructor(section, plots, path) {
    this.#section = section;
    this.#plots = plots;
    this.#path = path;
    section.querySelector(".plots").replaceChildren(...plots.map((plot) => plot.element));
    for (const button of section.querySelectorAll(".choice button")) {
      button.addEventListener("click", () => this.#choose(button.value));
    }
    this.#seen = new IntersectionObserver(([{ isIntersecting }]) => {
      this.#inView = isIntersecting;
      this.refresh();
    }, { rootMargin: "200px" });
    this.#seen.observe(section);
  }

  /** Reads the temperature limits from a /health response. */
  update({ device, governor }) {
    this.#marks = [
      { value: governor?.target_temp_c, name: t("plot.target") },
      { value: device?.trip_temp_c, name: t("plot.throttles") },
    ];
  }

  /** Ends the refreshes. */
  close() {
    clearTimeout(this.#timer);
    this.#seen.disconnect();
    this.#inView = false;
  }

  /** Fetches and draws the history, then schedules the next refresh. */
  async refresh() {
    clearTimeout(this.#timer);
    if (!this.#inView || document.hidden) return;
    this.#timer = setTimeout(() => this.refresh(), REFRESH_MS[this.#span]);
    // The header reports an unreachable device; the next refresh tries again.
    const answer = await readJson(this.#path(this.#span), TIMEOUT_MS);
    if (answer?.status !== 200 || !answer.body.columns) return;
    this.#plots.forEach((plot, index) => plot.draw(answer.body, index === 0 ? this.#marks : []));
  }

  #choose(span) {
    this.#span = span;
    for (const button of this.#section.querySelectorAll(".choice button")) {
      button.setAttribute("aria-pressed", String(button.value === span));
    }
    this.refresh();
  }
}
