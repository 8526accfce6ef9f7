// The device panel: temperature, memory, load, power, model and self-test as a list of facts.

import { bytes, duration, measure, reasonText, setText, UNKNOWN } from "./format.js";

const NEARLY_FULL = 0.9;
// High CPU usage is expected under load and never shown as an alarm.
const CPU_LABEL = "CPU usage";

/** Facts as [label, value, detail, share]; `share` (0-1) is the used part of a limit and draws a bar. */
function facts({ device, governor, engine, version }) {
  const d = device ?? {};
  const g = governor ?? {};
  const e = engine ?? {};
  const { canary } = e;
  const used_bytes = known(d.memory_total_bytes, d.memory_available_bytes)
    ? d.memory_total_bytes - d.memory_available_bytes : null;
  return [
    ["Temperature", measure(d.soc_temp_c, "°C", 1), temperatureLimitsText(d, g), share(d.soc_temp_c, d.trip_temp_c)],
    ["Memory available", bytes(d.memory_available_bytes),
      `of ${bytes(d.memory_total_bytes)}; this service uses ${bytes(d.resident_bytes)}`,
      share(used_bytes, d.memory_total_bytes)],
    [CPU_LABEL, measure(d.cpu_percent, "%"), "", share(d.cpu_percent, 100)],
    ["Throttle level", known(g.cur_state, g.max_state) ? `${g.cur_state} of ${g.max_state}` : UNKNOWN,
      throttleText(g), share(g.cur_state, g.max_state)],
    ["Power supply", powerText(d.power ?? {}), ""],
    ["Model", e.model ?? UNKNOWN, [e.engine, e.device, e.precision].map((value) => value ?? UNKNOWN).join(" · ")],
    ["Inference time", measure(e.infer_ms, "ms", e.infer_ms < 10 ? 1 : 0),
      `capacity ${measure(e.capacity_fps, "fps")}; ${e.in_flight ?? UNKNOWN} in flight`],
    ["Self-test", canary ? (canary.proved ? "passed" : "not passed") : UNKNOWN, selfTestText(canary)],
    ["Disk space available", bytes(d.disk_free_bytes), ""],
    ["System uptime", duration(d.uptime_s), ""],
    ["Board", d.board ?? UNKNOWN, ""],
    ["Version", version ?? UNKNOWN, ""],
  ];
}

function temperatureLimitsText(device, governor) {
  const parts = [];
  if (known(governor.target_temp_c)) parts.push(`target below ${measure(governor.target_temp_c, "°C")}`);
  if (known(device.trip_temp_c)) parts.push(`throttles at ${measure(device.trip_temp_c, "°C")}`);
  if (known(device.critical_temp_c)) parts.push(`shuts down at ${measure(device.critical_temp_c, "°C")}`);
  return parts.join(", ") || "limits unknown";
}

function throttleText(governor) {
  const held = known(governor.held_for_s) ? `held manually for another ${duration(governor.held_for_s)}` : "";
  const since = governor.cur_state > 0 && known(governor.time_in_state_s)
    ? `for ${duration(governor.time_in_state_s)}` : "";
  return [limitsText(governor.limits), held || since].filter(Boolean).join(", ");
}

function limitsText(limits) {
  if (!limits) return "";
  const { admit, max_side, reason } = limits;
  if (admit === false) return `detection paused: ${reasonText(reason ?? UNKNOWN)}`;
  if (!reason || reason === "normal") return `full resolution, ${measure(max_side, "px")}`;
  // The text after the comma already says that the level is held.
  return reason === "held" ? `at most ${measure(max_side, "px")}` : `${reasonText(reason)}; at most ${measure(max_side, "px")}`;
}

function powerText(power) {
  if (power.under_voltage) return "under-voltage";
  if (power.throttled) return "OK, board throttled";
  if (power.under_voltage_since_boot) return "under-voltage since boot";
  return power.under_voltage === false ? "OK" : UNKNOWN;
}

function selfTestText(canary) {
  const age = known(canary?.age_s) ? `${duration(canary.age_s)} ago` : "";
  return [canary?.message?.replaceAll("`", ""), age].filter(Boolean).join(", ");
}

function known(...values) {
  return values.every(Number.isFinite);
}

function share(value, whole) {
  return known(value, whole) && whole > 0 ? Math.min(1, Math.max(0, value / whole)) : null;
}

/** Shows the facts of a /health response in the list `dl`. */
export function showDevice(dl, health) {
  facts(health).forEach(([label, value, detail, part = null], index) => {
    const row = dl.children[index] ?? addRow(dl, label);
    const [, valueElement, detailElement, bar] = row.children;
    setText(valueElement, value);
    valueElement.classList.toggle("unknown", value.includes(UNKNOWN));
    setText(detailElement, detail);
    bar.hidden = part === null;
    bar.firstElementChild.style.width = `${100 * (part ?? 0)}%`;
    bar.classList.toggle("is-high", part >= NEARLY_FULL && label !== CPU_LABEL);
  });
}

function addRow(dl, label) {
  const row = document.createElement("div");
  const [term, value, detail, bar] = ["dt", "dd", "dd", "div"].map((tag) => document.createElement(tag));
  term.textContent = label;
  detail.className = "detail";
  bar.className = "bar";
  bar.setAttribute("aria-hidden", "true");
  bar.append(document.createElement("i"));
  row.append(term, value, detail, bar);
  dl.append(row);
  return row;
}
