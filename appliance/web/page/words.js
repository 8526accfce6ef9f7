// How a number is put before a person. What the box does not know is called unknown, never 0.

export const UNKNOWN = "unknown";

/** `61.3 °C`; null, absent and non-numbers are unknown. */
export function measure(value, unit, digits = 0) {
  return Number.isFinite(value) ? `${value.toFixed(digits)}\u202f${unit}` : UNKNOWN;
}

export function bytes(value) {
  if (!Number.isFinite(value)) return UNKNOWN;
  return value >= 1e9 ? measure(value / 1e9, "GB", 1) : measure(value / 1e6, "MB");
}

/** The two largest units are enough for a person: `3 d 4 h`, `12 min`. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return UNKNOWN;
  const s = Math.round(seconds);
  if (s < 60) return `${s}\u202fs`;
  if (s < 3600) return `${Math.floor(s / 60)}\u202fmin`;
  if (s < 86400) return `${Math.floor(s / 3600)}\u202fh ${Math.floor((s % 3600) / 60)}\u202fmin`;
  return `${Math.floor(s / 86400)}\u202fd ${Math.floor((s % 86400) / 3600)}\u202fh`;
}

/** `rate_limited` is for programs. */
export function plain(code) {
  return String(code).replaceAll("_", " ");
}

/** Writes only what has changed: a screen reader repeats whatever is written into a live region. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
  element.hidden = text === "";
}
