// Formatting of values for people. A missing value is shown as "unknown", never as 0.

export const UNKNOWN = "unknown";

const REASONS = {
  fair_share: "fair share of capacity",
  temperature: "temperature limit",
  held: "held manually",
  memory: "low memory",
};

/** `61.3 °C`; null, undefined and anything that is not a finite number are unknown. */
export function measure(value, unit, digits = 0) {
  return Number.isFinite(value) ? `${value.toFixed(digits)}\u202f${unit}` : UNKNOWN;
}

export function bytes(value) {
  if (!Number.isFinite(value)) return UNKNOWN;
  return value >= 1e9 ? measure(value / 1e9, "GB", 1) : measure(value / 1e6, "MB");
}

/** At most the two largest units: `3 d 4 h`, `12 min`. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return UNKNOWN;
  const s = Math.round(seconds);
  if (s < 60) return `${s}\u202fs`;
  if (s < 3600) return `${Math.floor(s / 60)}\u202fmin`;
  if (s < 86400) return `${Math.floor(s / 3600)}\u202fh ${Math.floor((s % 3600) / 60)}\u202fmin`;
  return `${Math.floor(s / 86400)}\u202fd ${Math.floor((s % 86400) / 3600)}\u202fh`;
}

/** `rate_limited` -> `rate limited` */
export function fromCode(code) {
  return String(code).replaceAll("_", " ");
}

/** The `reason` of limits, for people. */
export function reasonText(code) {
  return REASONS[code] ?? fromCode(code);
}

/** Sets text only if it has changed: screen readers announce every write to a live region. Hides empty elements. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
  element.hidden = text === "";
}
