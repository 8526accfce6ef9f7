// One camera in the overview: its card with the latest picture, and its line in the list of all cameras.

import { cameraLink } from "./findings.js";
import { fromTemplate, setText } from "./format.js";
import { duration, fps, measure, number, t, word } from "./language.js";
import { LivePicture } from "./picture.js";
import { IS_STATIC } from "./source.js";

const IDLE_AFTER_MS = 10000;
const IDLE_INTERVALS = 3;
// A frame every this many seconds or less often is no frame rate: the service counts over ten seconds.
const SLOW_S = 5;

export class Camera {
  #part;
  #row;
  #picture;
  #answered = null;
  #answeredAt = -Infinity;
  state = "ok";
  stats = {};

  constructor(name, onUnauthorized) {
    this.name = name;
    this.element = fromTemplate("camera-template");
    this.row = fromTemplate("row-template");
    this.#part = (selector) => this.element.querySelector(selector);
    this.#row = (selector) => this.row.querySelector(selector);
    for (const link of [this.#part("h3 a"), this.#row("a")]) link.href = cameraLink(name);
    this.#picture = new LivePicture(name, this.#part("figure"), this.#part(".objects"), onUnauthorized);
  }

  get isIdle() {
    if (IS_STATIC) return !(this.stats.answered_fps > 0);
    const interval_ms = (this.stats.limits?.min_interval ?? 0) * 1000;
    return performance.now() - this.#answeredAt > Math.max(IDLE_AFTER_MS, IDLE_INTERVALS * interval_ms);
  }

  remove() {
    this.#picture.remove();
    this.element.remove();
    this.row.remove();
  }

  fetchPicture() {
    this.#picture.fetch();
  }

  /** Adds a `detection_results` event of this camera. */
  addResult(result) {
    this.#answeredAt = performance.now();
    this.#picture.addResult(result);
  }

  /** Takes what a /health response says about this camera. */
  note(stats) {
    const hasAnswered = this.#answered === null ? stats.answered_fps > 0 : stats.answered > this.#answered;
    if (hasAnswered) this.#answeredAt = performance.now();
    this.#answered = stats.answered ?? this.#answered;
    this.stats = stats;
  }

  /** Shows the camera in a state of camera_state.js; `fault`: the code of the finding about its picture. */
  show(state, fault) {
    const { stats } = this;
    this.state = state;
    const label = stats.label || this.name;
    this.element.dataset.state = this.row.dataset.state = state;
    setText(this.#part("h3 a"), label);
    setText(this.#part(".note"), state === "picture" ? t(`fault.${fault}`) : "");
    const isLimited = state === "limited";
    setText(this.#part(".limits"), isLimited ? limitsText(stats.limits) : "");
    const isAway = ["silent", "idle", "stalled"].includes(state);
    setText(this.#part(".fps"), isAway && state !== "stalled" ? "" : rateText(stats.answered_fps, stats.limits, isAway));
    const hasLatency = Number.isFinite(stats.latency_ms) && !isAway;
    setText(this.#part(".latency"), hasLatency ? measure(stats.latency_ms, "ms") : "");
    this.element.classList.toggle("is-idle", isAway);
    setText(this.#part(".idle"), isAway ? this.#awayText() : "");
    setText(this.#row(".name"), label);
    const rate = rateText(stats.answered_fps, stats.limits, isAway);
    setText(this.#row(".rate"), ["silent", "idle"].includes(state) ? this.#silenceText() : rate);
    setText(this.#row(".visually-hidden"), t(`camera.state.${state}`));
  }

  #awayText() {
    if (this.state === "stalled") return t("camera.stalled");
    const silence = this.#silenceText();
    return silence ? t("camera.silent_for", { silence }) : t("camera.silent_since_open");
  }

  #silenceText() {
    const { silent_s } = this.stats;
    if (Number.isFinite(silent_s)) return duration(silent_s);
    return this.#answeredAt > 0 ? duration((performance.now() - this.#answeredAt) / 1000) : "";
  }
}

/** How many frames a second; of a slow camera the interval that the device asks for, or the measured one. */
export function rateText(rate, limits, isAway = false) {
  if (isAway || !Number.isFinite(rate) || rate >= 1 / SLOW_S) return fps(rate);
  const asked_s = limits?.min_interval ?? 0;
  const interval_s = asked_s >= SLOW_S ? asked_s : 1 / rate;
  return Number.isFinite(interval_s) ? t("limits.interval", { interval: measure(interval_s, "s") }) : fps(rate);
}

/** What the device asks of a camera, and why. */
export function limitsText(limits) {
  if (!limits) return t("limits.unknown");
  const { min_interval: interval_s, max_side, jpeg_quality, reason } = limits;
  let rate = t("limits.any_rate");
  if (interval_s > 1) rate = t("limits.interval", { interval: measure(interval_s, "s", 1) });
  else if (interval_s > 0) rate = t("limits.rate", { rate: measure(1 / interval_s, "fps", interval_s > 0.1 ? 1 : 0) });
  const values = { rate, side: measure(max_side, "px"), quality: jpeg_quality ?? t("unknown") };
  const text = t("limits.text", { ...values, quality: String(values.quality) });
  return reason && reason !== "normal" ? `${text} (${word(reason)})` : text;
}

/** Frames that were dropped, by reason, and that failed. */
export function lossesText(stats) {
  const parts = Object.entries(stats.skipped ?? {}).filter(([, count]) => count > 0)
    .map(([reason, count]) => `${number(count)} ${word(reason)}`);
  const failed = stats.failed > 0 ? [`${number(stats.failed)} ${t("camera.failed")}`] : [];
  return [...parts, ...failed].join(", ") || t("none");
}
