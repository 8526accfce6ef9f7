// The box itself, as a list of facts: what it is, how warm, how full, and whether it has lately proved that it sees.

import { bytes, duration, measure, plain, say, UNKNOWN } from "./words.js";

const NEARLY_FULL = 0.9;
// A busy processor is what the box was bought for.
const MAY_BE_FULL = "Processor";

/** Facts as [label, value, detail, share]; `share` is 0-1 of what can be borne, and draws a bar. */
function facts({ device, governor, engine, version }) {
  const d = device ?? {};
  const g = governor ?? {};
  const e = engine ?? {};
  const { canary } = e;
  const used_bytes = known(d.memory_total_bytes, d.memory_available_bytes)
    ? d.memory_total_bytes - d.memory_available_bytes : null;
  return [
    ["Temperature", measure(d.soc_temp_c, "°C", 1),
      tripsInWords(d, g),
      share(d.soc_temp_c, d.trip_temp_c)],
    ["Memory free", bytes(d.memory_available_bytes),
      `of ${bytes(d.memory_total_bytes)}; this service holds ${bytes(d.resident_bytes)}`,
      share(used_bytes, d.memory_total_bytes)],
    [MAY_BE_FULL, measure(d.cpu_percent, "%"), "", share(d.cpu_percent, 100)],
    ["Cooling state", known(g.cur_state, g.max_state) ? `${g.cur_state} of ${g.max_state}` : UNKNOWN,
      stateInWords(g), share(g.cur_state, g.max_state)],
    ["Power", powerInWords(d.power ?? {}), ""],
    ["Model", e.model ?? UNKNOWN, [e.engine, e.device, e.precision].map((word) => word ?? UNKNOWN).join(" · ")],
    ["One look takes", measure(e.infer_ms, "ms", e.infer_ms < 10 ? 1 : 0),
      `capacity ${measure(e.capacity_fps, "fps")}; ${e.in_flight ?? UNKNOWN} under way`],
    ["Proof of sight", canary ? (canary.proved ? "it sees" : "not proved") : UNKNOWN, proofInWords(canary)],
    ["Disk free", bytes(d.disk_free_bytes), ""],
    ["Running for", duration(d.uptime_s), ""],
    ["Board", d.board ?? UNKNOWN, ""],
    ["Version", version ?? UNKNOWN, ""],
  ];
}

function tripsInWords(device, governor) {
  const words = [];
  if (known(governor.target_temp_c)) words.push(`kept below ${measure(governor.target_temp_c, "°C")}`);
  if (known(device.trip_temp_c)) words.push(`throttles at ${measure(device.trip_temp_c, "°C")}`);
  if (known(device.critical_temp_c)) words.push(`off at ${measure(device.critical_temp_c, "°C")}`);
  return words.join(", ") || "trip point unknown";
}

function stateInWords(governor) {
  const held = known(governor.held_for_s) ? `held by a person for ${duration(governor.held_for_s)}` : "";
  const since = governor.cur_state > 0 && known(governor.time_in_state_s)
    ? `for ${duration(governor.time_in_state_s)}` : "";
  return [limitsInWords(governor.limits), held || since].filter(Boolean).join(", ");
}

function powerInWords(power) {
  if (power.under_voltage) return "too weak now";
  if (power.throttled) return "good, but throttled";
  if (power.under_voltage_since_boot) return "was too weak";
  return power.under_voltage === false ? "good" : UNKNOWN;
}

function limitsInWords(limits) {
  if (!limits) return "";
  if (limits.admit === false) return `refuses frames: ${plain(limits.reason ?? UNKNOWN)}`;
  return limits.reason && limits.reason !== "normal"
    ? `${plain(limits.reason)}; looks at ${measure(limits.max_side, "px")} at most`
    : `full sight, ${measure(limits.max_side, "px")}`;
}

function proofInWords(canary) {
  const age = known(canary?.age_s) ? `${duration(canary.age_s)} ago` : "";
  return [canary?.message?.replaceAll("`", ""), age].filter(Boolean).join(", ");
}

function known(...values) {
  return values.every(Number.isFinite);
}

function share(value, whole) {
  return known(value, whole) && whole > 0 ? Math.min(1, Math.max(0, value / whole)) : null;
}

/** Writes the facts of a /health answer into the list `dl`. */
export function showDevice(dl, health) {
  facts(health).forEach(([label, value, detail, part = null], index) => {
    const row = dl.children[index] ?? addRow(dl, label);
    const [, big, small, bar] = row.children;
    say(big, value);
    big.classList.toggle("unknown", value.includes(UNKNOWN));
    say(small, detail);
    bar.hidden = part === null;
    bar.firstElementChild.style.width = `${100 * (part ?? 0)}%`;
    bar.classList.toggle("is-high", part >= NEARLY_FULL && label !== MAY_BE_FULL);
  });
}

function addRow(dl, label) {
  const row = document.createElement("div");
  const [term, big, small, bar] = ["dt", "dd", "dd", "div"].map((tag) => document.createElement(tag));
  term.textContent = label;
  small.className = "detail";
  bar.className = "bar";
  bar.setAttribute("aria-hidden", "true");
  bar.append(document.createElement("i"));
  row.append(term, big, small, bar);
  dl.append(row);
  return row;
}
