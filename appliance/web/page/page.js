// The status page: polls /health every two seconds, subscribes to the results of all cameras, and shows the overall
// state. Data from the network is inserted as text, never as HTML.

import { CameraCard } from "./camera.js";
import { showDevice } from "./device.js";
import { History } from "./history.js";
import { connectSocket } from "./socket.js";
import { fromCode, setText } from "./format.js";

const POLL_MS = 2000;
const POLL_HIDDEN_MS = 15000;
const HEALTH_TIMEOUT_MS = 4000;
// A single lost response is not an outage; three in a row are.
const DOWN_AFTER_MS = 6000;

const STATES = { ok: "OK", degraded: "Degraded", critical: "Critical", down: "No connection" };
const SEVERITIES = ["critical", "degraded", "info"];
const SEVERITY_LABELS = { critical: "Critical", degraded: "Degraded", info: "Info" };

// Relative to this file, so that the page works at /, at /health and behind a proxy with a path prefix.
const BASE = new URL("..", import.meta.url);
const $ = (id) => document.getElementById(id);
const cameras = new Map();

// The token

const token = () => sessionStorage.getItem("token");

function readTokenFromAddress() {
  const value = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!value) return;
  sessionStorage.setItem("token", value);
  // Remove the token from the address bar, so that it does not appear in screenshots.
  history.replaceState(null, "", location.pathname + location.search);
}
readTokenFromAddress();
window.addEventListener("hashchange", () => {
  readTokenFromAddress();
  socket.restart();
});

function askForToken() {
  if (!$("token-form").hidden) return;
  if (token()) setText($("token-hint"), "The token was rejected. Ask the device's operator for the current one.");
  $("token-form").hidden = false;
}

$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", $("token").value.trim());
  $("token").value = "";
  $("token-form").hidden = true;
  socket.restart();
});

// The state

function showState(state, reason) {
  setText($("state"), STATES[state]);
  setText($("why"), reason);
  if (document.body.dataset.state === state) return;
  document.body.dataset.state = state;
  document.title = `${STATES[state]} · ${location.hostname}`;
  const colour = getComputedStyle(document.body).getPropertyValue("--state").trim();
  document.querySelector("meta[name=theme-color]").content = colour;
  const dot = `<circle cx="4" cy="4" r="4" fill="${colour}"/>`;
  const icon = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8">${dot}</svg>`;
  document.querySelector("link[rel=icon]").href = `data:image/svg+xml,${encodeURIComponent(icon)}`;
}

function stateReason(state, findings) {
  if (state !== "ok") return findings[0]?.what?.replaceAll("`", "") ?? "The device reports no reason.";
  const idle = [...cameras.values()].filter((card) => card.isIdle).length;
  if (cameras.size === 0) return "Ready. No camera has sent a frame yet.";
  const all = cameras.size === 1 ? "1 camera" : `${cameras.size} cameras`;
  if (idle === 0) return `${all} active.`;
  return idle === cameras.size ? `Ready. ${all} idle.` : `${all}, ${idle} idle.`;
}

function showFindings(findings) {
  const list = $("findings").querySelector("ul");
  $("findings").hidden = findings.length === 0;
  const shown = JSON.stringify(findings);
  if (list.dataset.shown === shown) return;
  list.dataset.shown = shown;
  list.replaceChildren(...findings.map((finding) => {
    const item = $("finding-template").content.firstElementChild.cloneNode(true);
    item.dataset.severity = finding.severity;
    setText(item.querySelector(".severity"), SEVERITY_LABELS[finding.severity] ?? fromCode(finding.severity));
    item.querySelector(".what").append(...withCommands(finding.what ?? fromCode(finding.code)));
    item.querySelector(".do").append(...withCommands(finding.do ?? ""));
    item.querySelector(".do").hidden = !finding.do;
    return item;
  }));
}

/** Turns commands in backticks into `code` elements, which a tap selects. */
function withCommands(text) {
  return text.split("`").map((part, index) => {
    if (index % 2 === 0) return part;
    const code = document.createElement("code");
    code.textContent = part;
    return code;
  });
}

function showCameras(stats) {
  // A client that has never sent a frame is a viewer (like this page), not a camera.
  const sends = (name) => stats[name]?.received > 0 || stats[name]?.failed > 0;
  for (const [name, card] of cameras) {
    if (sends(name)) continue;
    card.remove();
    cameras.delete(name);
  }
  // Sorted by name, so that cameras keep their place on the page.
  const names = Object.keys(stats).filter(sends).sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
  names.forEach((name, index) => {
    if (!cameras.has(name)) {
      const card = new CameraCard(name, () => pictureUrl(name), askForToken);
      cameras.set(name, card);
      $("cameras").insertBefore(card.element, $("cameras").children[index] ?? null);
    }
    cameras.get(name).update(stats[name]);
  });
  $("no-camera").hidden = names.length > 0;
}

function pictureUrl(name) {
  const url = new URL(`cameras/${encodeURIComponent(name)}/latest.jpg`, BASE);
  if (token()) url.searchParams.set("token", token());
  return url;
}

const plots = new History($("history"), (span) => new URL(`health/history?span=${span}`, BASE));

// The health poll

let lastResponse = null;
let lastResponse_ms = -Infinity;
let pollTimer;

/** The /health response, or null if there is none or it is not from the service. */
async function fetchHealth() {
  try {
    const response = await fetch(new URL("health", BASE), {
      headers: { Accept: "application/json" }, cache: "no-store", signal: AbortSignal.timeout(HEALTH_TIMEOUT_MS),
    });
    // In critical state /health returns 503 with the same JSON; a 502 from a proxy has no such body.
    const health = await response.json();
    return typeof health?.status === "string" ? health : null;
  } catch {
    return null;
  }
}

async function poll() {
  const health = await fetchHealth();
  clearTimeout(pollTimer);
  pollTimer = setTimeout(poll, document.hidden ? POLL_HIDDEN_MS : POLL_MS);
  if (health) show(health);
  else showDown();
}

function show(health) {
  lastResponse = new Date();
  lastResponse_ms = performance.now();
  const rank = ({ severity }) => (SEVERITIES.indexOf(severity) + SEVERITIES.length) % SEVERITIES.length;
  const findings = [...(health.findings ?? [])].sort((a, b) => rank(a) - rank(b));
  showCameras(health.cameras ?? {});
  showFindings(findings);
  showDevice($("device").querySelector("dl"), health);
  plots.update(health);
  const state = health.status in STATES ? health.status : "degraded";
  showState(state, stateReason(state, findings));
}

function showDown() {
  if (performance.now() - lastResponse_ms < DOWN_AFTER_MS) return;
  const since = lastResponse ? `Last response at ${lastResponse.toLocaleTimeString()}. ` : "";
  showState("down", `${since}Check the device's power supply and your network connection.`);
}

// Live results

const socket = connectSocket({
  url: BASE,
  auth: () => (token() ? { token: token() } : {}),
  onUp() {
    $("socket-note").hidden = true;
    socket.emit("subscribe", { cameras: "*" }, (ack) => {
      const refused = ack?.status === "error" && ack.reason === "unauthorized";
      if (refused) askForToken();
      else $("token-form").hidden = true;
    });
  },
  onDown() {
    setText($("socket-note"), "Live results interrupted. Reconnecting…");
  },
  onRefused(message = "") {
    setText($("socket-note"), `Live results unavailable: ${message}`);
    if (message.startsWith("unauthorized")) askForToken();
  },
  onEvent(name, payload) {
    if (name === "detection_results") cameras.get(payload.camera)?.addResult(payload);
  },
});

// When the page becomes visible or the network returns, refresh at once instead of at the next interval.
function refreshNow() {
  if (document.hidden) return;
  poll();
  socket.retryNow();
  for (const card of cameras.values()) card.fetchPicture();
  plots.refresh();
}
document.addEventListener("visibilitychange", refreshNow);
window.addEventListener("online", refreshNow);

// The first frame

setText($("host"), location.host);
setText($("first-frame"), `appliance camera --to ${location.origin} --name gate --source demo`);
// Browsers offer the clipboard only on https and localhost; elsewhere a tap on the command selects it.
$("copy").hidden = !navigator.clipboard;
$("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText($("first-frame").textContent);
  setText($("copy"), "Copied");
});

poll();
