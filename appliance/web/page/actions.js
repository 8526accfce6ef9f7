// What a person can do from the page. Each action asks once in a dialog, and the dialog then shows what came of it. The
// service says which actions there are for this visitor (GET /actions); without any, no button is shown.

import { AreaEditor } from "./areas.js";
import { fromTemplate, make, setText } from "./format.js";
import { duration, number, refusal, t, word } from "./language.js";
import { address, readJson } from "./source.js";

const LIST_TIMEOUT_MS = 4000;
// An activation compiles a network and compares it on pictures; a benchmark takes its minute.
const ACTION_TIMEOUT_MS = 300000;
const HOLD_S = [600, 3600, 8 * 3600];
const BENCHMARK_S = 50;
const LABEL_LENGTH = 64;
// In the device panel, in this order.
export const DEVICE_ACTIONS = [
  "self_test", "benchmark", "hold", "activate", "roll_back", "test_mqtt", "check_settings", "reload", "restart", "log", "support_bundle", "erase",
];
// Actions that are files to download.
const DOWNLOADS = ["log", "support_bundle"];
// About a camera that waits for approval.
const PAIRING = ["pairing_approve", "pairing_refuse"];
const DANGEROUS = ["restart", "erase", "remove_camera"];

export class Actions {
  #offer = null;
  #dialog;
  #onDone;
  #labelOf;
  #waiting = new Set();

  /** `onDone` is called after each action; `labelOf(camera)` returns the label that people gave it. */
  constructor(onDone, labelOf) {
    this.#onDone = onDone;
    this.#labelOf = labelOf;
    this.#dialog = document.getElementById("action");
    this.#dialog.addEventListener("close", () => this.#keepFocus());
  }

  /** The names of the actions that are offered. */
  get names() {
    return this.#offer?.actions ?? [];
  }

  /** Asks the service what this visitor may do; true if that has changed. */
  async load() {
    const answer = await readJson("actions", LIST_TIMEOUT_MS);
    const offer = answer?.status === 200 && Array.isArray(answer.body.actions) ? answer.body : null;
    const hasChanged = JSON.stringify(offer) !== JSON.stringify(this.#offer);
    this.#offer = offer;
    return hasChanged;
  }

  /** A button for an action, or null if it is not offered. `target`: the camera it is about. */
  button(name, target = null) {
    if (!this.#offer?.actions.includes(name)) return null;
    if (DOWNLOADS.includes(name)) {
      return make("a", t(`action.${name}.button`), { href: address(`actions/${name}`), download: "", class: "button" });
    }
    const button = make("button", t(`action.${name}.button`), { type: "button", "data-action": name });
    button.addEventListener("click", async () => {
      if (PAIRING.includes(name)) await this.load(); // others may wait by now
      this.#ask(name, target);
    });
    return button;
  }

  /** The device does not answer any more: nothing will come of an action that runs. */
  giveUp() {
    for (const one of this.#waiting) one.abort();
  }

  #ask(name, target) {
    const dialog = this.#dialog;
    const form = fromTemplate("action-template");
    const part = (selector) => form.querySelector(selector);
    setText(part("h2"), t(`action.${name}.button`));
    setText(part(".question"), t(`action.${name}.question`, { camera: target ?? "" }));
    part(".fields").replaceChildren(...fields(name, this.#offer, target, this.#labelOf));
    setText(part(".confirm"), t(`action.${name}.confirm`));
    part(".confirm").classList.toggle("is-dangerous", DANGEROUS.includes(name));
    part(".cancel").addEventListener("click", () => dialog.close());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#run(name, request(name, target, new FormData(form)), form);
    });
    dialog.replaceChildren(form);
    dialog.setAttribute("aria-label", t(`action.${name}.button`));
    dialog.dataset.action = name;
    dialog.showModal();
  }

  // What an action changes may have replaced the button that opened the dialog, or removed it.
  #keepFocus() {
    if (document.activeElement !== document.body && !this.#dialog.contains(document.activeElement)) return;
    const places = [`button[data-action=${this.#dialog.dataset.action}]`, ".camera-page h2", "#device"];
    places.flatMap((place) => [...document.querySelectorAll(place)]).find((one) => one.checkVisibility())?.focus();
  }

  async #run(name, body, form) {
    const part = (selector) => form.querySelector(selector);
    part(".fields").hidden = part(".confirm").hidden = part(".question").hidden = true;
    setText(part(".result"), t("action.running"));
    setText(part(".cancel"), t("action.close")); // the device goes on with it
    form.setAttribute("aria-busy", "true");
    const waiting = new AbortController();
    const timeout = setTimeout(() => waiting.abort(), ACTION_TIMEOUT_MS);
    this.#waiting.add(waiting);
    const { isDone, text } = await post(name, body, waiting.signal);
    this.#waiting.delete(waiting);
    clearTimeout(timeout);
    form.removeAttribute("aria-busy");
    form.classList.toggle("is-failed", !isDone);
    setText(part(".result"), text);
    part(".cancel").focus();
    this.#onDone();
  }
}

async function post(name, body, signal) {
  try {
    const response = await fetch(address(`actions/${name}`), {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
      signal,
    });
    const answer = await response.json();
    if (response.ok) return { isDone: true, text: doneText(name, answer) };
    return { isDone: false, text: t("action.failed", { reason: refusalText(answer) ?? String(response.status) }) };
  } catch {
    return { isDone: false, text: t("action.no_answer") };
  }
}

/** Why an action was refused; the service's own English where the catalogue has no text for the code. */
function refusalText({ error, code }) {
  return refusal(code, error) ?? error;
}

/** What came of an action, from the service's response. */
function doneText(name, answer) {
  if (name === "self_test" && !answer.proved) return t("action.self_test.not_passed", { reason: answer.message });
  if (name === "test_mqtt" && answer.problem) return t(`action.test_mqtt.failed${answer.detail ? "_detail" : ""}`, answer);
  if (name === "check_settings" && answer.problem) return t("action.check_settings.invalid", { reason: answer.problem });
  if (name === "benchmark" && answer.end_temp_c === null) return t("action.benchmark.done_without_sensor", texts(answer));
  if (name === "reload" && answer.restarts) return t("action.restart.done");
  const key = answer.kept === false ? "action.unkept" : `action.${name}.done`;
  return t(key, texts(answer));
}

function texts(answer) {
  return Object.fromEntries(Object.entries(answer).map(([key, value]) =>
    [key, typeof value === "number" && key.endsWith("_ms") ? number(value, 1) : value]));
}

function request(name, target, data) {
  if (name === "hold") return { state: Number(data.get("level")), for_s: Number(data.get("for_s")) };
  if (name === "benchmark") return { for_s: BENCHMARK_S };
  if (name === "activate") return { name: data.get("model") };
  if (name === "erase") return { factory_reset: data.get("scope") === "all" };
  if (PAIRING.includes(name)) return JSON.parse(data.get("waiting") ?? '{"name": ""}');
  if (name === "draw_areas") return { name: target, ...JSON.parse(data.get("areas")) };
  if (name === "label_camera") return { name: target, label: data.get("label").trim() };
  return target === null ? {} : { name: target };
}

function fields(name, offer, target, labelOf) {
  if (name === "hold") {
    const levels = Array.from({ length: (offer.max_state ?? 0) + 1 }, (_, level) => [level, number(level)]);
    return [
      choice("level", t("action.hold.level"), levels),
      choice("for_s", t("action.hold.for"), HOLD_S.map((for_s) => [for_s, duration(for_s)])),
    ];
  }
  if (name === "activate") {
    const models = (offer.models ?? []).map((model) => [model, model === offer.model ? `${model} (${word("in use")})` : model]);
    return [choice("model", t("action.activate.model"), models)];
  }
  if (name === "erase") {
    const scopes = ["data", "all"].map((scope) => [scope, t(`action.erase.${scope}`)]);
    return [choice("scope", t("action.erase.scope"), scopes)];
  }
  if (PAIRING.includes(name)) {
    const waiting = (offer.waiting ?? []).map((one) => [JSON.stringify(one), `${one.name} (${one.code})`]);
    return [choice("waiting", t("action.pairing_approve.camera"), waiting)];
  }
  if (name === "draw_areas") return [new AreaEditor(target).element];
  if (name === "label_camera") {
    const input = make("input", "", { name: "label", maxlength: LABEL_LENGTH, value: labelOf(target) });
    return [labelled(t("action.label_camera.label"), input)];
  }
  return [];
}

function choice(name, label, options) {
  const select = make("select", "", { name });
  select.append(...options.map(([value, text]) => make("option", text, { value })));
  return labelled(label, select);
}

function labelled(text, field) {
  const label = make("label", text);
  label.append(field);
  return label;
}
