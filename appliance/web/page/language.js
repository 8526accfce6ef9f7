// The language of the page: one catalogue a language (en.json, pt-BR.json), chosen by the browser's languages or by the
// switch, and figures, dates and durations in the form of that language. A missing value is "unknown", never 0.
//
// Texts have {places}. A value is formatted by the last part of its name: _c, _percent, _bytes, _s; a list is shortened.
// The service does the same in English (appliance/health/words.py).

export const LANGUAGES = { en: "English", "pt-BR": "Português" };
const KEY = "language";
const NAMES_SHOWN = 5;
const THIN = "\u202f";

let texts = {};
let language = "en";
let locale = "en";
let plural = new Intl.PluralRules("en");

/** The language in use, as its catalogue's name. */
export const current = () => language;

/** The language that the page speaks: the chosen one, else the first of the browser's that has a catalogue. */
export function preferred(chosen = stored(), wanted = navigator.languages) {
  if (chosen in LANGUAGES) return chosen;
  const found = wanted.map((tag) => Object.keys(LANGUAGES).find((name) => primary(name) === primary(tag)));
  return found.find(Boolean) ?? "en";
}

/** Loads the catalogue and fills the page's own texts. `read(file)` returns the parsed file. */
export async function loadLanguage(read, root = document) {
  language = preferred();
  texts = await read(`${language}.json`);
  // British dates for a British browser; the catalogue's own form where the browser prefers another language.
  locale = navigator.languages.find((tag) => primary(tag) === primary(language)) ?? language;
  plural = new Intl.PluralRules(locale);
  document.documentElement.lang = language;
  const parts = [root, ...[...root.querySelectorAll("template")].map((template) => template.content)];
  for (const part of parts) {
    for (const element of part.querySelectorAll("[data-text]")) element.textContent = t(element.dataset.text);
    for (const element of part.querySelectorAll("[data-label]")) {
      element.setAttribute("aria-label", t(element.dataset.label));
    }
  }
}

/** Speaks another language from the next load of the page on. */
export function choose(name) {
  try {
    localStorage.setItem(KEY, name);
  } catch { /* the browser keeps nothing: the choice holds until the page is left */ }
}

function stored() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

const primary = (tag) => tag.split("-")[0].toLowerCase();

// Texts

/** The text of a key, with `values` in its places; an unknown key is shown as it is. */
export function t(key, values = {}) {
  return fill(entry(key) ?? key, values);
}

/** Whether the catalogue has this key. */
export const has = (key) => entry(key) !== undefined;

/** A reason that the service names by a code; one that is not in the catalogue is read as words. */
export function word(code) {
  return known(code) ?? code.replaceAll("_", " ");
}

/** Why something was refused or has failed, by the code of the error; with `reason`, its English text, as a detail. */
export function refusal(code, reason = "") {
  const text = entry(`refusals.${code}`);
  return reason ? text?.replace("{reason}", () => reason) : text?.replace(/:? ?“?\{reason\}”?/, "");
}

/** A phrase that the service sends in English; as it is if it is not in the catalogue: it may name a file or a setting. */
export function phrase(text) {
  return known(text) ?? text;
}

function known(text) {
  const words = texts.words ?? {};
  return words[text] ?? (text.endsWith(".") && words[text.slice(0, -1)] ? `${words[text.slice(0, -1)]}.` : undefined);
}

/** A finding's `what` or `do` in this language; the service's own English where the catalogue has no text. */
export function findingText(finding, part) {
  const found = texts.findings?.[finding.code];
  const one = finding.case ? found?.[finding.case] : found;
  const template = one?.[part] ?? found?.[part];
  return template ? fill(template, finding.values ?? {}) : finding[part] ?? "";
}

function entry(key) {
  return key.split(".").reduce((inner, name) => inner?.[name], texts);
}

function fill(template, values) {
  const text = typeof template === "string" ? template : template[plural.select(values.count)] ?? template.other ?? "";
  return text.replace(/\{(\w+)\}/g, (place, name) => (name in values ? valueText(name, values[name]) : place));
}

function valueText(name, value) {
  if (Array.isArray(value)) return listText(value);
  if (value === null) return unknown();
  if (name === "reason" && has(`reasons.${value}`)) return t(`reasons.${value}`);
  if (name === "cause") return refusal(value) ?? word(value);
  if (typeof value === "string") return phrase(value);
  const unit = name.split("_").at(-1);
  if (unit === "c") return measure(value, "°C");
  if (unit === "percent") return measure(value, "%");
  if (unit === "bytes") return bytes(value);
  return unit === "s" ? duration(value) : number(value, Number.isInteger(value) ? 0 : 1);
}

function listText(names) {
  const shown = names.slice(0, NAMES_SHOWN).join(", ");
  const left = names.length - NAMES_SHOWN;
  return left > 0 ? t("list_more", { shown, left }) : shown;
}

// Figures

export const unknown = () => t("unknown");

export function number(value, digits = 0) {
  return value.toLocaleString(locale, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** `61.3 °C`; null, undefined and anything that is not a finite number are unknown. */
export function measure(value, unit, digits = 0) {
  return Number.isFinite(value) ? `${number(value, digits)}${THIN}${unit}` : unknown();
}

export function fps(value) {
  return measure(value, "fps", value < 10 ? 1 : 0);
}

export function bytes(value) {
  if (!Number.isFinite(value)) return unknown();
  return value >= 1e9 ? measure(value / 1e9, "GB", 1) : measure(value / 1e6, "MB");
}

/** At most the two largest units: `3 d 4 h`, `2 h`, `12 min`. Never rounded up, like the service's (durations.py). */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return unknown();
  const s = Math.floor(seconds);
  if (s < 60) return `${s}${THIN}s`;
  if (s < 3600) return `${Math.floor(s / 60)}${THIN}min`;
  const [unit, whole_s, part, part_s] = s < 86400 ? ["h", 3600, "min", 60] : ["d", 86400, "h", 3600];
  const parts = Math.floor((s % whole_s) / part_s);
  const rest = parts ? ` ${parts}${THIN}${part}` : "";
  return `${Math.floor(s / whole_s)}${THIN}${unit}${rest}`;
}

/** The time of day; with the date if it is not today. */
export function moment(date, now = new Date()) {
  const today = date.toDateString() === now.toDateString();
  return date.toLocaleString(locale, today ? { timeStyle: "medium" } : { dateStyle: "medium", timeStyle: "short" });
}

/** Hours and minutes. */
export function clock(date) {
  return date.toLocaleTimeString(locale, { timeStyle: "short" });
}

/** The same for an axis, as short as the language has it: `05:00`, `5 AM`. */
export function tick(date) {
  const { hour12 } = new Intl.DateTimeFormat(locale, { hour: "numeric" }).resolvedOptions();
  return hour12 && date.getMinutes() === 0 ? date.toLocaleTimeString(locale, { hour: "numeric" }) : clock(date);
}
