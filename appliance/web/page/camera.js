// One camera's card: its newest picture with the boxes that belong to it, and how it fares.
//
// Results come by socket as fast as the box gives them. Pictures are fetched at the pace of this phone: one request at
// a time, only for a card in view, and only after a result has said that there is something new. A picture is shown
// when the result with the same frame id is at hand, so that a box never lies on another moment's picture.

import { colourOf, drawBoxes } from "./boxes.js";
import { measure, duration, plain, say, UNKNOWN } from "./words.js";

const QUIET_AFTER_MS = 10000;
const RESULTS_KEPT = 60;
const REST_MIN_MS = 50;
const REST_AFTER_ERROR_MS = 2000;
const PICTURE_TIMEOUT_MS = 10000;
const SEEN_EVERY_MS = 500;
// To share the box with others is no trouble; every other reason is.
const USUAL = ["normal", "fair_share"];
const CACHED = {
  exact: "From the cache: same picture as before",
  unchanged: "Scene unchanged: boxes of the last look",
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
  #pulling = false;
  #news = true;
  #waiting = null;
  #answered = null;
  #answeredAt = -Infinity;
  #seenAt = -Infinity;

  /** `pictureUrl()` gives the picture's address at this moment, with the token of this moment. */
  constructor(name, pictureUrl, onUnauthorized) {
    const template = document.getElementById("camera-template");
    this.element = template.content.firstElementChild.cloneNode(true);
    this.#part = (selector) => this.element.querySelector(selector);
    this.#pictureUrl = pictureUrl;
    this.#onUnauthorized = onUnauthorized;
    say(this.#part("h3"), name);
    cards.set(this.element, this);
    inView.observe(this.element);
  }

  get isQuiet() {
    return performance.now() - this.#answeredAt > QUIET_AFTER_MS;
  }

  remove() {
    inView.unobserve(this.element);
    this.#inView = false;
    this.#waiting?.bitmap.close();
    this.element.remove();
  }

  setInView(yes) {
    this.#inView = yes;
    this.pull();
  }

  /** Takes a `detection_results` of this camera. */
  addResult(result) {
    this.#answeredAt = performance.now();
    this.#results.delete(result.frame_id);
    this.#results.set(result.frame_id, result);
    if (this.#results.size > RESULTS_KEPT) this.#results.delete(this.#results.keys().next().value);
    this.#news = true;
    this.#showIfMatched();
    this.pull();
  }

  /** Fetches the newest picture, if there is a reason to and nothing against it. */
  async pull() {
    if (this.#pulling || !this.#news || !this.#inView || document.hidden) return;
    this.#pulling = true;
    this.#news = false;
    const began = performance.now();
    let rest_ms = REST_AFTER_ERROR_MS;
    try {
      const response = await fetch(this.#pictureUrl(), {
        cache: "no-store", signal: AbortSignal.timeout(PICTURE_TIMEOUT_MS),
      });
      if (response.status === 401) {
        say(this.#part(".cover"), "Its pictures need the viewer token");
        this.#onUnauthorized();
      }
      if (response.ok) {
        const frameId = JSON.parse(response.headers.get("X-Frame-Id"));
        const bitmap = await createImageBitmap(await response.blob());
        this.#waiting?.bitmap.close();
        this.#waiting = { frameId, bitmap };
        this.#showIfMatched();
        // As long a rest as the fetch took leaves half of a weak link to the cameras.
        rest_ms = Math.max(REST_MIN_MS, performance.now() - began);
      }
    } catch {
      this.#news = true;
    }
    setTimeout(() => { this.#pulling = false; this.pull(); }, rest_ms);
  }

  // Picture and result travel on two connections, so either may be the first.
  #showIfMatched() {
    const result = this.#results.get(this.#waiting?.frameId);
    if (!result) return;
    const { bitmap } = this.#waiting;
    this.#waiting = null;
    const canvas = this.#part("canvas");
    const tallest = Number.parseFloat(getComputedStyle(canvas).maxHeight);
    const detections = result.detections ?? [];
    const width = Math.min(this.#part("figure").clientWidth, tallest * (bitmap.width / bitmap.height));
    drawBoxes(canvas, bitmap, detections, width);
    bitmap.close();
    this.#part(".cover").hidden = true;
    say(this.#part(".cached"), CACHED[result.cached] ?? "");
    this.#sayWhatIsSeen(detections);
  }

  // Words that change ten times a second cannot be read.
  #sayWhatIsSeen(detections) {
    if (performance.now() - this.#seenAt < SEEN_EVERY_MS) return;
    this.#seenAt = performance.now();
    const kinds = new Map();
    for (const one of detections) {
      const kind = kinds.get(one.name) ?? { count: 0, colour: colourOf(one) };
      kinds.set(one.name, { ...kind, count: kind.count + 1 });
    }
    const sorted = [...kinds].sort(([a], [b]) => a.localeCompare(b));
    const chips = sorted.map(([name, { count, colour }]) => {
      const chip = document.createElement("span");
      chip.textContent = count > 1 ? `${name} ×\u2009${count}` : name;
      chip.style.setProperty("--colour", colour);
      return chip;
    });
    this.#part(".seen").replaceChildren(...(chips.length ? chips : ["Nothing it knows in view"]));
    const words = sorted.map(([name, { count }]) => `${count} ${name}`).join(", ");
    this.#part("canvas").setAttribute("aria-label", `Newest picture: ${words || "nothing found"}`);
  }

  /** Takes this camera's entry of /health. */
  update(stats) {
    const hasAnswered = this.#answered === null ? stats.answered_fps > 0 : stats.answered > this.#answered;
    if (hasAnswered) this.#answeredAt = performance.now();
    this.#answered = stats.answered ?? this.#answered;

    say(this.#part(".fps"), Number.isFinite(stats.answered_fps)
      ? measure(stats.answered_fps, "fps", stats.answered_fps < 10 ? 1 : 0) : "rate unknown");
    say(this.#part(".latency"), Number.isFinite(stats.latency_ms) ? measure(stats.latency_ms, "ms") : "delay unknown");
    say(this.#part(".limits"), limitsInWords(stats.limits));
    say(this.#part(".losses"), lossesInWords(stats));
    this.element.classList.toggle("is-limited", !USUAL.includes(stats.limits?.reason ?? "normal"));
    this.element.classList.toggle("is-quiet", this.isQuiet);
    say(this.#part(".quiet"), this.isQuiet ? this.#quietInWords(stats) : "");
  }

  // A camera that is silent and a box that does not answer want different hands.
  #quietInWords(stats) {
    if (stats.received_fps > 0) return "Frames arrive, none is answered";
    if (this.#answeredAt > 0) return `Quiet for ${duration((performance.now() - this.#answeredAt) / 1000)}`;
    return "Quiet since before this page was opened";
  }
}

function limitsInWords(limits) {
  if (!limits) return `Asked of it: ${UNKNOWN}`;
  const every_s = limits.min_interval;
  const pace = every_s > 1 ? `a frame every ${measure(every_s, "s", 1)}`
    : every_s > 0 ? `up to ${measure(1 / every_s, "fps", every_s > 0.1 ? 1 : 0)}` : "any pace";
  const words = `Asked of it: ${pace}, ${measure(limits.max_side, "px")} at most, ` +
    `JPEG quality ${limits.jpeg_quality ?? UNKNOWN}`;
  return limits.reason && limits.reason !== "normal" ? `${words}. Because: ${plain(limits.reason)}` : words;
}

function lossesInWords(stats) {
  const parts = Object.entries(stats.skipped ?? {}).filter(([, count]) => count > 0)
    .map(([reason, count]) => `${count.toLocaleString("en")} ${plain(reason)}`);
  const skipped = parts.length ? `Skipped: ${parts.join(", ")}` : "";
  const failed = stats.failed > 0 ? `Failed: ${stats.failed.toLocaleString("en")}` : "";
  return [skipped, failed].filter(Boolean).join(" · ");
}
