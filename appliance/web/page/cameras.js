// All cameras, the worst first: cards with pictures, and a list of all once there are several.

import { Camera } from "./camera.js";
import { cameraState, isAway, pictureFault, rankOf } from "./camera_state.js";
import { naturally, setText } from "./format.js";
import { t } from "./language.js";

const LIST_FROM = 5;
const CARDS_FIRST = 12;
// Of these, for cameras that are away, while others are live.
const AWAY_FIRST = 6;
// A camera that recovers keeps its place for a while, so that the page does not jump.
const RECOVERS_AFTER_MS = 10000;

export class Cameras {
  #section;
  #onUnauthorized;
  #cameras = new Map();
  #ranks = new Map();
  #showsAll = false;

  /** Shows the cameras in `section`. */
  constructor(section, onUnauthorized) {
    this.#section = section;
    this.#onUnauthorized = onUnauthorized;
    this.#part(".more").addEventListener("click", () => {
      this.#showsAll = true;
      this.#arrange();
    });
  }

  get(name) {
    return this.#cameras.get(name);
  }

  /** What people call a camera, with its name. */
  labelOf(name) {
    const label = this.get(name)?.stats.label;
    return label ? `${label} (${name})` : name;
  }

  /** How many cameras are in each state. */
  get counts() {
    const counts = {};
    for (const { state } of this.#cameras.values()) counts[state] = (counts[state] ?? 0) + 1;
    return counts;
  }

  /** How many are connected. */
  get connected() {
    return [...this.#cameras.values()].filter(({ stats }) => stats.received !== undefined).length;
  }

  refresh() {
    for (const camera of this.#cameras.values()) camera.fetchPicture();
  }

  /** Shows the cameras of a /health response: those that are connected, and those that have gone. */
  show({ cameras = {}, known_cameras: known = {}, frames = {} }, findings) {
    const names = new Set([...Object.keys(cameras).filter((name) => sends(cameras[name])), ...Object.keys(known)]);
    const everServed = frames.received > 0;
    for (const [name, camera] of this.#cameras) {
      if (names.has(name)) continue;
      camera.remove();
      this.#cameras.delete(name);
      this.#ranks.delete(name);
    }
    for (const name of names) {
      if (!this.#cameras.has(name)) this.#cameras.set(name, new Camera(name, this.#onUnauthorized));
      const camera = this.#cameras.get(name);
      camera.note({ ...cameras[name], ...known[name] });
      const state = cameraState(name, camera.stats, camera.isIdle, findings);
      camera.show(state, pictureFault(name, findings));
      this.#rank(name, rankOf(state, camera.stats));
    }
    this.#arrange();
    this.#part("#no-camera").hidden = this.#cameras.size > 0 || everServed;
    this.#part("#cameras-gone").hidden = this.#cameras.size > 0 || !everServed;
  }

  #part(selector) {
    return this.#section.querySelector(selector);
  }

  #rank(name, rank) {
    const known = this.#ranks.get(name);
    const now = performance.now();
    if (known && rank > known.rank && now - known.at < RECOVERS_AFTER_MS) return;
    if (known?.rank === rank) known.at = now;
    else this.#ranks.set(name, { rank, at: now });
  }

  // The worst, but those that are away leave room for live pictures.
  #first(order) {
    const isLive = (name) => !isAway(this.#cameras.get(name).state);
    const live = order.filter(isLive).length;
    let places = Math.max(AWAY_FIRST, CARDS_FIRST - live);
    return order.filter((name) => isLive(name) || places-- > 0).slice(0, CARDS_FIRST);
  }

  #arrange() {
    const order = [...this.#cameras.keys()].sort((a, b) =>
      this.#ranks.get(a).rank - this.#ranks.get(b).rank || naturally(a, b));
    const shown = this.#showsAll ? order : this.#first(order);
    place(this.#part("#cameras"), shown.map((name) => this.#cameras.get(name).element));
    place(this.#part("#list ul"), order.map((name) => this.#cameras.get(name).row));
    this.#part("#list").hidden = order.length < LIST_FROM;
    this.#section.classList.toggle("has-list", order.length >= LIST_FROM);
    setText(this.#part(".more"), shown.length < order.length ? t("cameras.more", { count: order.length }) : "");
  }
}

/** Puts the elements into `parent` in this order and moves only those that are out of place: moving loses focus. */
function place(parent, elements) {
  for (const child of [...parent.children]) if (!elements.includes(child)) child.remove();
  elements.forEach((element, index) => {
    if (parent.children[index] !== element) parent.insertBefore(element, parent.children[index] ?? null);
  });
}

// A client that has never sent a frame is a viewer (like this page), not a camera.
function sends(stats) {
  return stats.received > 0 || stats.failed > 0;
}
