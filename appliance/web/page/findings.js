// What is wrong and what to do: findings that need attention, and notes apart, collapsed. A finding about cameras links to
// them; a finding whose advice the service can follow itself has a button.

import { fromTemplate, make, setText, withCommands } from "./format.js";
import { findingText, t } from "./language.js";

const SEVERITIES = ["critical", "degraded", "info"];
// More stand in the list of cameras, worst first.
const CAMERAS_LINKED = 6;
// The action that follows a finding's advice.
const ACTIONS = {
  governor_held: ["release"],
  canary_failed: ["self_test", "restart", "roll_back", "support_bundle"],
  engine_failing: ["self_test", "restart", "log"],
  drained: ["restart"],
  engine_stuck: ["restart", "log"],
  engine_stand_in: ["restart"],
  camera_silent: ["remove_camera"],
  cameras_gone: ["remove_camera"],
  certificate_invalid: ["check_settings"],
  config_not_reloaded: ["check_settings", "reload"],
  safe_mode: ["check_settings", "reload"],
  model_missing: ["roll_back", "activate", "reload"],
  model_not_activated: ["activate"],
  state_taken: ["restart"],
  part_failed: ["log"],
  mqtt_disconnected: ["test_mqtt"],
  pairing_waiting: ["pairing_approve", "pairing_refuse"],
};
// Actions on one camera.
const OF_A_CAMERA = ["remove_camera"];

/** The findings, worst first. */
export function sorted(findings) {
  const rank = ({ severity }) => (SEVERITIES.indexOf(severity) + SEVERITIES.length) % SEVERITIES.length;
  return [...findings].sort((a, b) => rank(a) - rank(b));
}

/** Whether a finding needs attention; the others are notes. */
export const isProblem = ({ severity }) => severity !== "info";

export class Findings {
  #problems;
  #notes;
  #actions;
  #shown = "";

  /** `problems`, `notes`: the sections. `actions`: what the visitor may do. */
  constructor(problems, notes, actions) {
    this.#problems = problems;
    this.#notes = notes;
    this.#actions = actions;
  }

  /** Shows the findings of a /health response, sorted, with links to those of the `cameras` that are on the page. */
  show(findings, cameras) {
    const named = findings.flatMap(({ values }) => values?.cameras ?? []).map((name) => cameras.labelOf(name));
    const shown = JSON.stringify([findings.map(({ for_s: _, ...rest }) => rest), this.#actions.names, named]);
    if (this.#shown === shown) return;
    this.#shown = shown;
    const notes = findings.filter((finding) => !isProblem(finding));
    const problems = findings.filter(isProblem);
    this.#problems.hidden = problems.length === 0;
    this.#problems.querySelector("ul").replaceChildren(...problems.map((finding) => this.#item(finding, cameras)));
    this.#notes.hidden = notes.length === 0;
    setText(this.#notes.querySelector("summary"), t("notes", { count: notes.length }));
    this.#notes.querySelector("ul").replaceChildren(...notes.map((finding) => this.#item(finding, cameras)));
  }

  #item(finding, cameras) {
    const item = fromTemplate("finding-template");
    const part = (name) => item.querySelector(name);
    item.dataset.severity = finding.severity;
    setText(part(".severity"), t(`severity.${SEVERITIES.includes(finding.severity) ? finding.severity : "degraded"}`));
    part(".what").append(...withCommands(findingText(finding, "what") || finding.code));
    const advice = findingText(finding, "do");
    part(".do").append(...withCommands(advice));
    part(".do").hidden = !advice;
    const named = (Array.isArray(finding.values?.cameras) ? finding.values.cameras : []).filter((name) => cameras.get(name));
    const links = (named.length > CAMERAS_LINKED ? [] : named).map((name) =>
      make("a", cameras.labelOf(name), { href: cameraLink(name) }));
    const buttons = (ACTIONS[finding.code] ?? []).map((name) => this.#button(name, named)).filter(Boolean);
    part(".follow").append(...buttons, ...links);
    part(".follow").hidden = buttons.length + links.length === 0;
    return item;
  }

  // What is done to a camera has a button here if the finding is about one; of several, each has it on its own page.
  #button(name, cameras) {
    if (!OF_A_CAMERA.includes(name)) return this.#actions.button(name);
    return cameras.length === 1 ? this.#actions.button(name, cameras[0]) : null;
  }
}

/** The address of a camera's own page. */
export function cameraLink(name) {
  return `#camera=${encodeURIComponent(name)}`;
}
