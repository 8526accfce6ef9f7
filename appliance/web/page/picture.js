// The latest picture of one camera with its bounding boxes.
//
// Results arrive over the socket at the rate of the device. Pictures are fetched at the rate this browser can handle: one
// request at a time, only while the picture is in view, and only after a new result. A picture is drawn once the result
// with the same frame id is available, so that boxes and picture always belong together; before the first result, alone.

import { colourOf, drawBoxes } from "./boxes.js";
import { make, setText } from "./format.js";
import { number, t } from "./language.js";
import { address } from "./source.js";

const RESULTS_KEPT = 60;
const PAUSE_MIN_MS = 50;
const PAUSE_AFTER_ERROR_MS = 2000;
const RETRY_MISSING_MS = 10000;
const PICTURE_TIMEOUT_MS = 10000;
const OBJECTS_EVERY_MS = 500;

const pictures = new WeakMap();
const inView = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) pictures.get(target)?.setInView(isIntersecting);
}, { rootMargin: "100px" });

export class LivePicture {
  #results = new Map();
  #name;
  #figure;
  #objects;
  #onUnauthorized;
  #inView = false;
  #fetching = false;
  #outdated = true;
  #retry = null;
  #pending = null;
  #objectsShownAt = -Infinity;

  /** `figure` holds a canvas and a cover, `objects` lists what was detected. */
  constructor(name, figure, objects, onUnauthorized) {
    this.#name = name;
    this.#figure = figure;
    this.#objects = objects;
    this.#onUnauthorized = onUnauthorized;
    this.#setLabel(t("picture.waiting"));
    pictures.set(figure, this);
    inView.observe(figure);
  }

  remove() {
    inView.unobserve(this.#figure);
    this.#inView = false;
    clearTimeout(this.#retry);
    this.#pending?.bitmap.close();
    this.#pending = null;
  }

  setInView(inView) {
    this.#inView = inView;
    this.fetch();
  }

  /** Adds a `detection_results` or `picture` event of this camera; the latter has no detections. */
  addResult(result) {
    this.#results.delete(result.frame_id);
    this.#results.set(result.frame_id, result);
    if (this.#results.size > RESULTS_KEPT) this.#results.delete(this.#results.keys().next().value);
    this.#outdated = true;
    this.#drawIfMatched();
    this.fetch();
  }

  /** Fetches the latest picture if the shown one is outdated and in view. */
  async fetch() {
    if (this.#fetching || !this.#outdated || !this.#inView || document.hidden) return;
    this.#fetching = true;
    this.#outdated = false;
    const started = performance.now();
    let pause_ms = PAUSE_AFTER_ERROR_MS;
    clearTimeout(this.#retry);
    try {
      const response = await fetch(address(picturePath(this.#name), { withToken: true }), {
        cache: "no-store", signal: AbortSignal.timeout(PICTURE_TIMEOUT_MS),
      });
      if (response.status === 401) {
        setText(this.#figure.querySelector(".cover"), t("picture.token"));
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
      } else if (response.status === 404) {
        // The next result may be long in coming, and the device may have a picture before.
        this.#retry = setTimeout(() => { this.#outdated = true; this.fetch(); }, RETRY_MISSING_MS);
      }
    } catch {
      this.#outdated = true;
    }
    setTimeout(() => { this.#fetching = false; this.fetch(); }, pause_ms);
  }

  // Picture and result arrive on separate connections, in either order.
  #drawIfMatched() {
    if (!this.#pending) return;
    const result = this.#results.size ? this.#results.get(this.#pending.frameId) : { why: "picture.no_result" };
    if (!result) return;
    const { bitmap } = this.#pending;
    this.#pending = null;
    const canvas = this.#figure.querySelector("canvas");
    const tallest = Number.parseFloat(getComputedStyle(canvas).maxHeight);
    const detections = result.detections ?? [];
    const width = Math.min(this.#figure.clientWidth, tallest * (bitmap.width / bitmap.height));
    drawBoxes(canvas, bitmap, detections, width);
    bitmap.close();
    this.#figure.querySelector(".cover").hidden = true;
    const unprocessed = result.detections ? "" : t(result.why ?? "picture.unprocessed");
    setText(this.#figure.querySelector(".cached"), result.cached ? t(`cached.${result.cached}`) : unprocessed);
    this.#listObjects(result.detections ? detections : null, unprocessed);
  }

  // Updated at most twice a second, so that it stays readable.
  #listObjects(detections, unprocessed) {
    if (!detections) {
      this.#objects.replaceChildren();
      this.#setLabel(unprocessed);
      return;
    }
    if (performance.now() - this.#objectsShownAt < OBJECTS_EVERY_MS) return;
    this.#objectsShownAt = performance.now();
    const kinds = new Map();
    for (const detection of detections) {
      const kind = kinds.get(detection.name) ?? { count: 0, colour: colourOf(detection) };
      kinds.set(detection.name, { ...kind, count: kind.count + 1 });
    }
    const sorted = [...kinds].sort(([a], [b]) => a.localeCompare(b));
    const chips = sorted.map(([name, { count, colour }]) => {
      const chip = make("span", count > 1 ? `${name} ×\u2009${number(count)}` : name);
      chip.style.setProperty("--colour", colour);
      return chip;
    });
    this.#objects.replaceChildren(...(chips.length ? chips : [t("picture.no_objects")]));
    this.#setLabel(sorted.map(([name, { count }]) => `${number(count)} ${name}`).join(", ") || t("picture.no_objects"));
  }

  #setLabel(content) {
    this.#figure.querySelector("canvas").setAttribute("aria-label", t("picture.label", { name: this.#name, content }));
  }
}

/** Where a camera's latest picture is. */
export function picturePath(name) {
  return `cameras/${encodeURIComponent(name)}/latest.jpg`;
}
