// Who did what since the process started, for operators. It is asked for while the list is open, and after each action.

import { make, setText } from "./format.js";
import { has, moment, refusal, t, word } from "./language.js";
import { readJson } from "./source.js";

const TIMEOUT_MS = 4000;

export class AuditList {
  #element;

  /** `element`: a `details` with a list. */
  constructor(element) {
    this.#element = element;
    element.addEventListener("toggle", () => this.refresh());
  }

  async refresh() {
    if (!this.#element.open) return;
    const answer = await readJson("actions/audit", TIMEOUT_MS);
    const entries = answer?.status === 200 ? answer.body.entries : [];
    this.#element.querySelector("ul").replaceChildren(...entries.map(item));
    setText(this.#element.querySelector(".none"), entries.length ? "" : t("audit.none"));
  }
}

function fieldText([name, value]) {
  // What to do about it was advice at that time.
  if (name === "code") return refusal(value)?.split(/[.;:] /)[0] ?? word(value);
  if (name === "role" && has(`roles.${value}`)) return t("audit.fields.role", { role: t(`roles.${value}`) });
  return has(`audit.fields.${name}`) ? t(`audit.fields.${name}`, { [name]: value }) : `${name} ${value}`;
}

// A name with a role: `anna (operator)`.
function whoText(who) {
  return who.replace(/\((\w+)\)$/, (written, role) => (has(`roles.${role}`) ? `(${t(`roles.${role}`)})` : written));
}

function item({ at, who, address, action, ok, fields }) {
  const row = make("li");
  row.append(
    make("b", has(`audit.actions.${action}`) ? t(`audit.actions.${action}`) : action),
    make("span", ok ? "" : t("audit.failed"), { class: "refused" }),
    make("span", Object.entries(fields).filter(([, value]) => value !== null && value !== false).map(fieldText).join(", ")),
    make("span", [moment(new Date(at * 1000)), whoText(who), address].filter(Boolean).join(" · "), { class: "by" }),
  );
  return row;
}
