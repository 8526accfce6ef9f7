// The device panel: temperature, memory, load, power, model and self-test as a list of facts.

import { make, setText } from "./format.js";
import { bytes, duration, fps, measure, number, phrase, t, unknown, word } from "./language.js";

const NEARLY_FULL = 0.9;
// High CPU usage is expected under load and never shown as an alarm.
const NEVER_ALARMS = "cpu";

/** Facts as [key, value, detail, share]; `share` (0-1) is the used part of a limit and draws a bar. */
function facts({ device, governor, engine, service, version, tls }) {
  const d = device ?? {};
  const g = governor ?? {};
  const e = engine ?? {};
  const s = service ?? {};
  const { canary } = e;
  const used_bytes = known(d.memory_total_bytes, d.memory_available_bytes)
    ? d.memory_total_bytes - d.memory_available_bytes : null;
  return [
    ["temperature", measure(d.soc_temp_c, "°C", 1), temperatureLimitsText(d, g), share(d.soc_temp_c, d.trip_temp_c)],
    ["memory", bytes(d.memory_available_bytes),
      t("device.memory_detail", { total: bytes(d.memory_total_bytes), service: bytes(d.resident_bytes) }),
      share(used_bytes, d.memory_total_bytes)],
    ["cpu", measure(d.cpu_percent, "%"), "", share(d.cpu_percent, 100)],
    ["throttle", known(g.cur_state, g.max_state)
      ? t("device.level", { level: number(g.cur_state), levels: number(g.max_state) }) : unknown(),
      throttleText(g), share(g.cur_state, g.max_state)],
    ["power", powerText(d.power ?? {}), ""],
    ["model", e.model ?? unknown(), [e.engine, e.device, e.precision].map((value) => value ?? unknown()).join(" · ")],
    ["inference", measure(e.infer_ms, "ms", e.infer_ms < 10 ? 1 : 0),
      t("device.inference_detail", {
        capacity: fps(e.capacity_fps), in_flight: known(e.in_flight) ? number(e.in_flight) : unknown(),
      })],
    ["self_test", canary ? t(canary.proved ? "device.passed" : "device.not_passed") : unknown(), selfTestText(canary)],
    ["disk", bytes(d.disk_free_bytes), ""],
    ["uptime", duration(d.uptime_s), serviceText(s)],
    ["board", d.board ?? unknown(), ""],
    ["version", version ?? unknown(), ""],
    ...(tls ? [["certificate", "SHA-256", fingerprintText(tls.fingerprint_sha256)]] : []),
  ];
}

function temperatureLimitsText(device, governor) {
  const limits = [
    ["device.target", governor.target_temp_c], ["device.throttles", device.trip_temp_c],
    ["device.shuts_down", device.critical_temp_c],
  ];
  const parts = limits.filter(([, value_c]) => known(value_c)).map(([key, limit_c]) => t(key, { limit_c }));
  return parts.join(", ") || t("device.limits_unknown");
}

function throttleText(governor) {
  const held = known(governor.held_for_s) ? t("device.held_for", { left_s: governor.held_for_s }) : "";
  const since = governor.cur_state > 0 && known(governor.time_in_state_s)
    ? t("device.since", { for_s: governor.time_in_state_s }) : "";
  return [limitsText(governor.limits), held || since].filter(Boolean).join(", ");
}

function limitsText(limits) {
  if (!limits) return "";
  const { admit, max_side, reason } = limits;
  const side = measure(max_side, "px");
  if (admit === false) return t("device.paused", { reason: reason ?? unknown() });
  if (!reason || reason === "normal") return t("device.full_resolution", { side });
  // The text after the comma already says that the level is held.
  return reason === "held" ? t("device.at_most", { side }) : `${word(reason)}; ${t("device.at_most", { side })}`;
}

function powerText(power) {
  if (power.under_voltage) return t("power.under_voltage");
  if (power.throttled) return t("power.throttled");
  if (power.under_voltage_since_boot) return t("power.under_voltage_since_boot");
  return power.under_voltage === false ? t("power.ok") : unknown();
}

function selfTestText(canary) {
  const age = known(canary?.age_s) ? t("device.ago", { age_s: canary.age_s }) : "";
  const message = canary?.message ? phrase(canary.message.replaceAll("`", "")) : "";
  return [message, age].filter(Boolean).join(", ");
}

function serviceText(service) {
  const parts = [];
  if (known(service.uptime_s)) parts.push(t("device.service_uptime", { for_s: service.uptime_s }));
  if (service.restarts > 0) parts.push(t("device.restarts", { count: service.restarts }));
  return parts.join(", ");
}

/** In groups of eight bytes, between which the line may break. */
function fingerprintText(fingerprint) {
  return fingerprint.match(/.{1,24}/g).map((group) => group.replace(/:$/, "")).join(" ");
}

function known(...values) {
  return values.every(Number.isFinite);
}

function share(value, whole) {
  return known(value, whole) && whole > 0 ? Math.min(1, Math.max(0, value / whole)) : null;
}

/** Shows the facts of a /health response in the list `dl`. */
export function showDevice(dl, health) {
  for (const [key, value, detail, part = null] of facts(health)) showFact(dl, key, t(`device.${key}`), value, detail, part);
}

/** Shows one fact in its row of `dl`, and returns the row; `part`: see facts. */
export function showFact(dl, key, label, value, detail = "", part = null) {
  const row = dl.querySelector(`[data-fact=${key}]`) ?? addRow(dl, key, label);
  const [, valueElement, detailElement, bar] = row.children;
  setText(valueElement, value);
  valueElement.classList.toggle("unknown", value.includes(unknown()));
  setText(detailElement, detail);
  bar.hidden = part === null;
  bar.firstElementChild.style.width = `${100 * (part ?? 0)}%`;
  bar.classList.toggle("is-high", part >= NEARLY_FULL && key !== NEVER_ALARMS);
  return row;
}

function addRow(dl, key, label) {
  const row = make("div");
  row.dataset.fact = key;
  const bar = make("div", "", { class: "bar", "aria-hidden": "true" });
  bar.append(make("i"));
  row.append(make("dt", label), make("dd"), make("dd", "", { class: "detail" }), bar);
  dl.append(row);
  return row;
}
