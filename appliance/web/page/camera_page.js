// A camera's own page: its picture large, what the device asks of it and why, its rates and latency over time, and what a
// person can do about it. Its address is #camera=NAME.

import { limitsText, lossesText, rateText } from "./camera.js";
import { showFact } from "./device.js";
import { findingText, measure, moment, number, t } from "./language.js";
import { fromTemplate, make, setText, withCommands } from "./format.js";
import { cameraPlots, History } from "./history.js";
import { LivePicture, picturePath } from "./picture.js";
import { address, IS_STATIC } from "./source.js";

const ACTIONS = ["draw_areas", "label_camera", "remove_camera"];

/** The camera that the address names, or null. */
export function chosenCamera() {
  return new URLSearchParams(location.hash.slice(1)).get("camera");
}

export class CameraPage {
  #name;
  #part;
  #picture;
  #history;
  #actionButton;

  /** The page of a camera; `actionButton(name, target)` returns a button or null. */
  constructor(name, onUnauthorized, actionButton) {
    this.#name = name;
    this.#actionButton = actionButton;
    this.element = fromTemplate("camera-page-template");
    this.#part = (selector) => this.element.querySelector(selector);
    setText(this.#part("h2"), name);
    this.#picture = new LivePicture(name, this.#part("figure"), this.#part(".objects"), onUnauthorized);
    this.#history = new History(this.#part(".history"), cameraPlots(),
      (span) => `health/history?span=${span}&camera=${encodeURIComponent(name)}`);
  }

  get name() {
    return this.#name;
  }

  close() {
    this.#picture.remove();
    this.#history.close();
    this.element.remove();
  }

  refresh() {
    this.#picture.fetch();
    this.#history.refresh();
  }

  addResult(result) {
    this.#picture.addResult(result);
  }

  /** Shows the camera; undefined: the device does not know it (any more). */
  show(camera, findings) {
    this.#part(".gone").hidden = camera !== undefined;
    for (const part of [".about-camera", ".wide", ".history"]) this.#part(part).hidden = camera === undefined;
    this.#showActions(camera !== undefined);
    if (camera === undefined) {
      this.element.dataset.state = "idle";
      setText(this.#part(".state"), "");
      return;
    }
    const { stats, state } = camera;
    setText(this.#part("h2"), stats.label || this.#name);
    this.element.dataset.state = state;
    setText(this.#part(".state"), t(`camera.state.${state}`));
    const isAway = ["silent", "idle", "stalled"].includes(state);
    this.element.classList.toggle("is-idle", isAway);
    setText(this.#part(".idle"), isAway ? t(`camera.state.${state}`) : "");
    const about = findings.filter(({ values }) => values?.cameras?.includes(this.#name));
    this.#part(".about-camera").replaceChildren(...about.map((finding) => {
      const item = make("li");
      const what = make("p", "", { class: "what" });
      what.append(...withCommands(findingText(finding, "what")));
      const advice = make("p", "", { class: "do" });
      advice.append(...withCommands(findingText(finding, "do")));
      item.append(what, advice);
      return item;
    }));
    this.#showFacts(stats, isAway);
  }

  #showFacts(stats, isAway) {
    const dl = this.#part("dl");
    const shown = new Set();
    this.#listFacts(stats, isAway, (key, value, detail) => shown.add(showFact(dl, key, t(`camera.${key}`), value, detail)));
    for (const row of [...dl.children]) if (!shown.has(row)) row.remove();
  }

  #listFacts(stats, isAway, fact) {
    if (stats.label) fact("name", this.#name);
    if (stats.last_frame) fact("last_frame", moment(new Date(stats.last_frame)), t("camera.ago", { silent_s: stats.silent_s }));
    if (stats.first_frame) fact("first_frame", moment(new Date(stats.first_frame)));
    // What follows is known only of a connected camera.
    if (stats.received === undefined) return;
    const rate = (value) => rateText(value, stats.limits, isAway);
    fact("sends", rate(stats.received_fps), t("camera.answered_at", { rate: rate(stats.answered_fps) }));
    fact("latency", measure(stats.latency_ms, "ms"));
    fact("limits", limitsText(stats.limits));
    fact("frames", number(stats.received), t("camera.frames_detail", {
      answered: number(stats.answered), cached: number(stats.cached),
    }));
    fact("losses", lossesText(stats));
  }

  #showActions(isKnown) {
    const holder = this.#part(".actions");
    const buttons = isKnown ? ACTIONS.map((name) => this.#actionButton(name, this.#name)).filter(Boolean) : [];
    if (holder.dataset.shown === String(buttons.length) && holder.children.length) return;
    holder.dataset.shown = String(buttons.length);
    const url = address(picturePath(this.#name), { withToken: true });
    const snapshot = make("a", t("action.snapshot.button"), { href: url, download: `${this.#name}.jpg`, class: "button" });
    holder.replaceChildren(...(isKnown && !IS_STATIC ? [snapshot] : []), ...buttons);
  }
}
