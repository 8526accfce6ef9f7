// The technician's page: asks /health every two seconds, listens to every camera's results, and says in one word how
// the box is. Whatever comes from the network is written as text, never as HTML.

import { CameraCard } from "./camera.js";
import { showDevice } from "./device.js";
import { History } from "./history.js";
import { connectSocket } from "./socket.js";
import { plain, say } from "./words.js";

const POLL_MS = 2000;
const POLL_HIDDEN_MS = 15000;
const HEALTH_TIMEOUT_MS = 4000;
// One lost answer is weather; three are an outage.
const SILENT_AFTER_MS = 6000;

const STATES = { ok: "OK", degraded: "Degraded", critical: "Critical", down: "No connection" };
const SEVERITIES = ["critical", "degraded", "info"];
const SEVERITY_WORDS = { critical: "Critical", degraded: "Degraded", info: "Good to know" };

// From this file's own address, so that the page works at /, at /health and behind a proxy's prefix alike.
const BASE = new URL("..", import.meta.url);
const $ = (id) => document.getElementById(id);
const cameras = new Map();

// The token

const token = () => sessionStorage.getItem("token");

function takeTokenFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!given) return;
  sessionStorage.setItem("token", given);
  // Out of the address bar, so that it is not in the next screenshot.
  history.replaceState(null, "", location.pathname + location.search);
}
takeTokenFromAddress();
window.addEventListener("hashchange", () => {
  takeTokenFromAddress();
  socket.restart();
});

function askForToken() {
  if (!$("token-form").hidden) return;
  if (token()) say($("token-hint"), "The box did not accept that token. Its operator knows the right one.");
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

function showState(state, why) {
  say($("state"), STATES[state]);
  say($("why"), why);
  if (document.body.dataset.state === state) return;
  document.body.dataset.state = state;
  document.title = `${STATES[state]} · ${location.hostname}`;
  const colour = getComputedStyle(document.body).getPropertyValue("--state").trim();
  document.querySelector("meta[name=theme-color]").content = colour;
  const dot = `<circle cx="4" cy="4" r="4" fill="${colour}"/>`;
  const icon = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8">${dot}</svg>`;
  document.querySelector("link[rel=icon]").href = `data:image/svg+xml,${encodeURIComponent(icon)}`;
}

function whyInWords(state, findings) {
  if (state !== "ok") return findings[0]?.what?.replaceAll("`", "") ?? "The box gives no reason.";
  const quiet = [...cameras.values()].filter((card) => card.isQuiet).length;
  if (cameras.size === 0) return "Ready. No camera has sent a frame yet.";
  const all = cameras.size === 1 ? "1 camera" : `${cameras.size} cameras`;
  if (quiet === 0) return `${all}, answered just now.`;
  return quiet === cameras.size ? `Ready. ${all}, quiet at the moment.` : `${all}, ${quiet} of them quiet.`;
}

function showFindings(findings) {
  const list = $("findings").querySelector("ul");
  $("findings").hidden = findings.length === 0;
  const said = JSON.stringify(findings);
  if (list.dataset.said === said) return;
  list.dataset.said = said;
  list.replaceChildren(...findings.map((finding) => {
    const item = $("finding-template").content.firstElementChild.cloneNode(true);
    item.dataset.severity = finding.severity;
    say(item.querySelector(".severity"), SEVERITY_WORDS[finding.severity] ?? plain(finding.severity));
    item.querySelector(".what").append(...withCommands(finding.what ?? plain(finding.code)));
    item.querySelector(".do").append(...withCommands(finding.do ?? ""));
    item.querySelector(".do").hidden = !finding.do;
    return item;
  }));
}

/** The box puts commands between backticks; here they become something that a tap selects. */
function withCommands(sentence) {
  return sentence.split("`").map((part, index) => {
    if (index % 2 === 0) return part;
    const code = document.createElement("code");
    code.textContent = part;
    return code;
  });
}

function showCameras(stats) {
  // Whoever has never sent a frame is a viewer, like this page, and not a camera.
  const sends = (name) => stats[name]?.received > 0 || stats[name]?.failed > 0;
  for (const [name, card] of cameras) {
    if (sends(name)) continue;
    card.remove();
    cameras.delete(name);
  }
  // By name, so that a camera keeps its place on the page.
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

let heardAt = null;
let heardAt_ms = -Infinity;
let pollTimer;

/** The box's answer, or null if there was none that can be believed. */
async function askHealth() {
  try {
    const response = await fetch(new URL("health", BASE), {
      headers: { Accept: "application/json" }, cache: "no-store", signal: AbortSignal.timeout(HEALTH_TIMEOUT_MS),
    });
    // A critical box says so with 503 and this JSON; a proxy before a dead box says 502, and not like this.
    const health = await response.json();
    return typeof health?.status === "string" ? health : null;
  } catch {
    return null;
  }
}

async function poll() {
  const health = await askHealth();
  clearTimeout(pollTimer);
  pollTimer = setTimeout(poll, document.hidden ? POLL_HIDDEN_MS : POLL_MS);
  if (health) show(health);
  else showSilence();
}

function show(health) {
  heardAt = new Date();
  heardAt_ms = performance.now();
  const rank = ({ severity }) => (SEVERITIES.indexOf(severity) + SEVERITIES.length) % SEVERITIES.length;
  const findings = [...(health.findings ?? [])].sort((a, b) => rank(a) - rank(b));
  showCameras(health.cameras ?? {});
  showFindings(findings);
  showDevice($("device").querySelector("dl"), health);
  plots.update(health);
  const state = health.status in STATES ? health.status : "degraded";
  showState(state, whyInWords(state, findings));
}

function showSilence() {
  if (performance.now() - heardAt_ms < SILENT_AFTER_MS) return;
  const since = heardAt ? `Last heard at ${heardAt.toLocaleTimeString()}. ` : "";
  showState("down", `${since}Is the box powered, and is this device on its network?`);
}

// Live results

const socket = connectSocket({
  url: BASE,
  auth: () => (token() ? { token: token() } : {}),
  onUp() {
    $("socket-note").hidden = true;
    socket.emit("subscribe", { cameras: "*" }, (answer) => {
      const refused = answer?.status === "error" && answer.reason === "unauthorized";
      if (refused) askForToken();
      else $("token-form").hidden = true;
    });
  },
  onDown() {
    say($("socket-note"), "Live results are interrupted. Connecting again…");
  },
  onRefused(message = "") {
    say($("socket-note"), `The box gives no live results: ${message}`);
    if (message.startsWith("unauthorized")) askForToken();
  },
  onEvent(name, payload) {
    if (name === "detection_results") cameras.get(payload.camera)?.addResult(payload);
  },
});

// A phone that comes out of the pocket should not wait for the next turn.
function wake() {
  if (document.hidden) return;
  poll();
  socket.hurry();
  for (const card of cameras.values()) card.pull();
  plots.pull();
}
document.addEventListener("visibilitychange", wake);
window.addEventListener("online", wake);

// The first frame

say($("host"), location.host);
say($("first-frame"), `appliance camera --to ${location.origin} --name gate --source demo`);
// Browsers lend the clipboard only to https and localhost; elsewhere a tap on the command selects all of it.
$("copy").hidden = !navigator.clipboard;
$("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText($("first-frame").textContent);
  say($("copy"), "Copied");
});

poll();
