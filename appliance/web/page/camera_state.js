// How a camera is doing, in one word, from its entry in /health: what the list is sorted by and the cards show.

// Worst first, those that have gone last. `silent`, `picture`: the service has a finding about it; `stalled`: frames come in,
// no results go out.
export const CAMERA_STATES = ["silent", "picture", "stalled", "limited", "ok", "idle"];
// A camera that has been silent for longer is no news.
const LONG_GONE_S = 86400;
// Reasons for limits that need no attention.
const ORDINARY_REASONS = ["normal", "fair_share"];

// Findings about a camera's picture.
const PICTURE = [
  "camera_covered", "camera_turned", "camera_blurred", "camera_dark", "camera_overexposed", "camera_frozen", "camera_torn",
];

/** The code of the finding about a camera's picture, if there is one. */
export function pictureFault(name, findings) {
  return findings.find(({ code, values }) => PICTURE.includes(code) && values?.cameras?.includes(name))?.code;
}

/** The state of a camera. `isIdle`: no result for some seconds. `findings`: of the whole device. */
export function cameraState(name, stats, isIdle, findings = []) {
  if (stats.presence === "silent") return "silent";
  if (pictureFault(name, findings)) return "picture";
  if (isIdle) return stats.received_fps > 0 ? "stalled" : "idle";
  return ORDINARY_REASONS.includes(stats.limits?.reason ?? "normal") ? "ok" : "limited";
}

/** Where a camera stands in the order of all: the lower, the sooner it is shown. */
export function rankOf(state, stats) {
  const isLongGone = state === "silent" && stats.silent_s > LONG_GONE_S;
  return isLongGone ? CAMERA_STATES.length : CAMERA_STATES.indexOf(state);
}

/** Whether there is nothing to see of a camera. */
export const isAway = (state) => state === "silent" || state === "idle";
