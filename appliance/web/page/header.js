// The head of the page: the state of the device by colour, shape and word, and how much needs attention. What exactly is
// wrong stands below, in the findings; it is not repeated here.

import { setText } from "./format.js";
import { moment, t } from "./language.js";
import { isProblem } from "./findings.js";

const LAST_SEEN = "last-seen";
const SAVE_EVERY_MS = 10000;

export class Header {
  #savedAt_ms = -Infinity;
  #lastSeen = readLastSeen();

  /** Shows a state: ok, degraded, critical, down. */
  show(state, reason) {
    setText(document.getElementById("state"), t(`state.${state}`));
    setText(document.getElementById("why"), reason);
    document.title = `${t(`state.${state}`)} · ${location.hostname}`;
    if (document.body.dataset.state === state) return;
    document.body.dataset.state = state;
    const colour = getComputedStyle(document.body).getPropertyValue("--state").trim();
    document.querySelector("meta[name=theme-color]").content = colour;
    const dot = `<circle cx="4" cy="4" r="4" fill="${colour}"/>`;
    const icon = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8">${dot}</svg>`;
    document.querySelector("link[rel=icon]").href = `data:image/svg+xml,${encodeURIComponent(icon)}`;
  }

  /** Shows that the device does not respond, and since when. */
  showDown() {
    const since = this.#lastSeen ? t("down.last_seen", { when: moment(this.#lastSeen) }) : "";
    this.show("down", [since, t("down.check")].filter(Boolean).join(" "));
  }

  /** Notes that the device has responded, for the next visit too. */
  noteResponse() {
    this.#lastSeen = new Date();
    if (performance.now() - this.#savedAt_ms < SAVE_EVERY_MS) return;
    this.#savedAt_ms = performance.now();
    try {
      localStorage.setItem(LAST_SEEN, this.#lastSeen.toISOString());
    } catch { /* the browser keeps nothing */ }
  }
}

/**
 * How much needs attention, and how many cameras are at work: `counts` by camera state. While nothing is detected
 * (`isDetecting`), none is, and those `connected` are counted.
 */
export function summary(findings, { counts, connected }, everServed, isDetecting) {
  const problems = findings.filter(isProblem).length;
  const parts = problems ? [t("summary.problems", { count: problems })] : [];
  if (connected > 0 && !isDetecting) return [...parts, t("summary.connected", { count: connected })].join(" ");
  return [...parts, camerasText(counts, everServed, problems > 0)].filter(Boolean).join(" ");
}

function camerasText(counts, everServed, hasProblems) {
  const all = Object.values(counts).reduce((sum, count) => sum + count, 0);
  if (all === 0) return everServed ? t("summary.gone") : t("summary.none");
  const stalled = counts.stalled ?? 0;
  const active = all - stalled - (counts.silent ?? 0) - (counts.idle ?? 0);
  if (active === all) return t("summary.active", { count: all });
  const text = t("summary.partly", { active, count: all });
  return active === 0 && stalled === 0 && !hasProblems ? t("summary.idle", { count: all }) : text;
}

function readLastSeen() {
  try {
    const saved = localStorage.getItem(LAST_SEEN);
    return saved ? new Date(saved) : null;
  } catch {
    return null;
  }
}
