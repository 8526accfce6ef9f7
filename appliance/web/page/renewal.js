// Loads the page again once the device has another version: a display on a wall would run the page of the first one for
// years.

const QUIET_MS = 60000;
const USES = ["pointerdown", "pointermove", "wheel", "keydown"];
// Behind the front of a site, devices of both versions may answer in turn while an update spreads.
const LOADED_AGAIN = "loaded-again";
const AT_MOST_EVERY_MS = 3600000;

export class Renewal {
  #version = null;
  #used_ms = -Infinity;

  constructor() {
    for (const use of USES) addEventListener(use, () => { this.#used_ms = performance.now(); }, { passive: true });
  }

  /** Notes the version of the device; loads the page again if it is another one and nobody works on the page. */
  note(version) {
    if (typeof version !== "string") return;
    this.#version ??= version;
    const isInUse = performance.now() - this.#used_ms < QUIET_MS || document.querySelector("dialog[open]");
    if (version !== this.#version && !isInUse && isDue()) location.reload();
  }
}

function isDue() {
  try {
    const now = Date.now();
    if (Math.abs(now - Number(sessionStorage.getItem(LOADED_AGAIN) ?? 0)) < AT_MOST_EVERY_MS) return false;
    sessionStorage.setItem(LOADED_AGAIN, String(now));
    return true;
  } catch {
    return false; // without a memory it could not know when to stop
  }
}
