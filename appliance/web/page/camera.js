// The card of one camera: its latest picture with bounding boxes, and its statistics.
//
// Results arrive over the socket at the rate of the device. Pictures are fetched at the rate this browser can handle: one
// request at a time, only for a card in view, and only after a new result. A picture is drawn once the result with the
// same frame id is available, so that boxes and picture always belong together.

import { colourOf, drawBoxes } from "./boxes.js";
import { measure, duration, fromCode, reasonText, setText, UNKNOWN } from "./format.js";

const IDLE_AFTER_MS = 10000;
const RESULTS_KEPT = 60;
const PAUSE_MIN_MS = 50;
const PAUSE_AFTER_ERROR_MS = 2000;
const PICTURE_TIMEOUT_MS = 10000;
const OBJECTS_EVERY_MS = 500;
// Reasons for limits that need no attention; all others are emphasised.
const ORDINARY_REASONS = ["normal", "fair_share"];
const CACHED = {
  exact: "Cached: identical picture",
  unchanged: "Scene unchanged: previous boxes",
};

const cards = new WeakMap();
const inView = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) cards.get(target).setInView(isIntersecting);
}, { rootMargin: "100px" });

export class CameraCard {
  #results = new Map();
  #part;
  #pictureUrl;
  #onUnauthorized;
  #inView = false;
  #fetching = false;
  #outdated = true;
  #pending = null;
  #answered = null;
  #answeredAt = -Infinity;
  #objectsShownAt = -Infinity;

  /** `pictureUrl()` returns the picture's address with the current token. */
  constructor(name, pictureUrl, onUnauthorized) {
    const template = document.getElementById("camera-template");
    this.element = template.content.firstElementChild.cloneNode(true);
    this.#part = (selector) => this.element.querySelector(selector);
    this.#pictureUrl = pictureUrl;
    this.#onUnauthorized = onUnauthorized;
    setText(this.#part("h3"), name);
    cards.set(this.element, this);
    inView.observe(this.element);
  }

  get isIdle() {
    return performance.now() - this.#answeredAt > IDLE_AFTER_MS;
  }

  remove() {
    inView.unobserve(this.element);
    this.#inView = false;
    this.#pending?.bitmap.close();
    this.element.remove();
  }

  setInView(inView) {
    this.#inView = inView;
    this.fetchPicture();
  }

  /** Adds a `detection_results` event of this camera. */
  addResult(result) {
    this.#answeredAt = performance.now();
    this.#results.delete(result.frame_id);
    this.#results.set(result.frame_id, result);
    if (this.#results.size > RESULTS_KEPT) this.#results.delete(this.#results.keys().next().value);
    this.#outdated = true;
    this.#drawIfMatched();
    this.fetchPicture();
  }

  /** Fetches the latest picture if the shown one is outdated and the card is visible. */
  async fetchPicture() {
    if (this.#fetching || !this.#outdated || !this.#inView || document.hidden) return;
    this.#fetching = true;
    this.#outdated = false;
    const started = performance.now();
    let pause_ms = PAUSE_AFTER_ERROR_MS;
    try {
      const response = await fetch(this.#pictureUrl(), {
        cache: "no-store", signal: AbortSignal.timeout(PICTURE_TIMEOUT_MS),
      });
      if (response.status === 401) {
        setText(this.#part(".cover"), "Enter the viewer token to see pictures");
        this.#onUnauthorized();
      }
      if (response.ok) {
        const frameId = JSON.parse(response.headers.get("X-Frame-Id"));
        const bitmap = await createImageBitmap(await response.blob());
        this.#pending?.bitmap.close();
        this.#pending = { frameId, bitmap };
        this.#drawIfMatched();
        // A pause as long as the fetch leaves half of a slow link to the cameras.
        pause_ms = Math.max(PAUSE_MIN_MS, performance.now() - started);
      }
    } catch {
      this.#outdated = true;
    }
    setTimeout(() => { this.#fetching = false; this.fetchPicture(); }, pause_ms);
  }

  // Picture and result arrive on separate connections, in either order.
  #drawIfMatched() {
    const result = this.#results.get(this.#pending?.frameId);
    if (!result) return;
    const { bitmap } = this.#pending;
    this.#pending = null;
    const canvas = this.#part("canvas");
    const tallest = Number.parseFloat(getComputedStyle(canvas).maxHeight);
    const detections = result.detections ?? [];
    const width = Math.min(this.#part("figure").clientWidth, tallest * (bitmap.width / bitmap.height));
    drawBoxes(canvas, bitmap, detections, width);
    bitmap.close();
    this.#part(".cover").hidden = true;
    setText(this.#part(".cached"), CACHED[result.cached] ?? "");
    this.#listObjects(detections);
  }

  // Updated at most twice a second, so that it stays readable.
  #listObjects(detections) {
    if (performance.now() - this.#objectsShownAt < OBJECTS_EVERY_MS) return;
    this.#objectsShownAt = performance.now();
    const kinds = new Map();
    for (const detection of detections) {
      const kind = kinds.get(detection.name) ?? { count: 0, colour: colourOf(detection) };
      kinds.set(detection.name, { ...kind, count: kind.count + 1 });
    }
    const sorted = [...kinds].sort(([a], [b]) => a.localeCompare(b));
    const chips = sorted.map(([name, { count, colour }]) => {
      const chip = document.createElement("span");
      chip.textContent = count > 1 ? `${name} ×\u2009${count}` : name;
      chip.style.setProperty("--colour", colour);
      return chip;
    });
    this.#part(".objects").replaceChildren(...(chips.length ? chips : ["No objects detected"]));
    const list = sorted.map(([name, { count }]) => `${count} ${name}`).join(", ");
    this.#part("canvas").setAttribute("aria-label", `Latest picture: ${list || "no objects detected"}`);
  }

  /** Shows this camera's entry of a /health response. */
  update(stats) {
    const hasAnswered = this.#answered === null ? stats.answered_fps > 0 : stats.answered > this.#answered;
    if (hasAnswered) this.#answeredAt = performance.now();
    this.#answered = stats.answered ?? this.#answered;

    setText(this.#part(".fps"), Number.isFinite(stats.answered_fps)
      ? measure(stats.answered_fps, "fps", stats.answered_fps < 10 ? 1 : 0) : "rate unknown");
    const latency = Number.isFinite(stats.latency_ms) ? measure(stats.latency_ms, "ms") : "latency unknown";
    setText(this.#part(".latency"), latency);
    setText(this.#part(".limits"), limitsText(stats.limits));
    setText(this.#part(".losses"), lossesText(stats));
    this.element.classList.toggle("is-limited", !ORDINARY_REASONS.includes(stats.limits?.reason ?? "normal"));
    this.element.classList.toggle("is-idle", this.isIdle);
    setText(this.#part(".idle"), this.isIdle ? this.#idleText(stats) : "");
  }

  // Tells a camera that sends nothing apart from a device that returns no results.
  #idleText(stats) {
    if (stats.received_fps > 0) return "Receiving frames, but no results";
    if (this.#answeredAt > 0) return `No frames for ${duration((performance.now() - this.#answeredAt) / 1000)}`;
    return "No frames since this page was opened";
  }
}

function limitsText(limits) {
  if (!limits) return `Requested: ${UNKNOWN}`;
  const { min_interval: interval_s, max_side, jpeg_quality, reason } = limits;
  const rate = interval_s > 1 ? `one frame every ${measure(interval_s, "s", 1)}`
    : interval_s > 0 ? `up to ${measure(1 / interval_s, "fps", interval_s > 0.1 ? 1 : 0)}` : "any frame rate";
  const text = `Requested: ${rate}, at most ${measure(max_side, "px")}, JPEG quality ${jpeg_quality ?? UNKNOWN}`;
  return reason && reason !== "normal" ? `${text} (${reasonText(reason)})` : text;
}

function lossesText(stats) {
  const parts = Object.entries(stats.skipped ?? {}).filter(([, count]) => count > 0)
    .map(([reason, count]) => `${count.toLocaleString("en")} ${fromCode(reason)}`);
  const skipped = parts.length ? `Skipped: ${parts.join(", ")}` : "";
  const failed = stats.failed > 0 ? `Failed: ${stats.failed.toLocaleString("en")}` : "";
  return [skipped, failed].filter(Boolean).join(" · ");
}
