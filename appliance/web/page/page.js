// The status page: polls /health every two seconds, subscribes to the results of all cameras, and hands both to the parts.
// Data from the network is inserted as text, never as HTML.

import { Actions, DEVICE_ACTIONS } from "./actions.js";
import { AuditList } from "./audit.js";
import { CameraPage, chosenCamera } from "./camera_page.js";
import { Cameras } from "./cameras.js";
import { showDevice } from "./device.js";
import { Findings, sorted } from "./findings.js";
import { make, setText } from "./format.js";
import { Header, summary } from "./header.js";
import { devicePlots, History } from "./history.js";
import { choose, current, LANGUAGES, loadLanguage, refusal, t } from "./language.js";
import { Renewal } from "./renewal.js";
import { SignIn } from "./sign_in.js";
import { Site } from "./site.js";
import { connectSocket } from "./socket.js";
import { address, BASE, keptToken, readFile, readJson } from "./source.js";

const POLL_MS = 2000;
const POLL_HIDDEN_MS = 15000;
const HEALTH_TIMEOUT_MS = 4000;
// A single lost response is not an outage; three in a row are.
const DOWN_AFTER_MS = 6000;
// An action that runs is not waited for any longer after the device has been down for this time.
const GIVEN_UP_AFTER_MS = 6000;
const STATES = ["ok", "degraded", "critical"];

const $ = (id) => document.getElementById(id);

// The parts. The language comes first: every part speaks it.

await loadLanguage(readFile);

const header = new Header();
const signIn = new SignIn(enter);
const askForToken = () => signIn.ask();
const cameras = new Cameras($("cameras-section"), askForToken);
const actions = new Actions(() => { poll(); audit.refresh(); loadActions(); }, (name) => cameras.get(name)?.stats.label ?? "");
const findings = new Findings($("findings"), $("notes"), actions);
const audit = new AuditList($("audit"));
const plots = new History($("history"), devicePlots(), (span) => `health/history?span=${span}`);
const renewal = new Renewal();
const site = new Site($("site"), $("site-link"));
let cameraPage = null;

// A camera's own page

function followAddress() {
  const name = chosenCamera();
  if ((cameraPage?.name ?? null) === name) return;
  cameraPage?.close();
  cameraPage = name === null ? null : new CameraPage(name, askForToken, (action, target) => actions.button(action, target));
  showOverview();
  if (cameraPage) {
    $("overview").before(cameraPage.element);
    cameraPage.show(cameras.get(name), latest.findings);
    cameraPage.element.querySelector("h2").focus();
    scrollTo(0, 0);
  }
}

// A stranger signs in there, also at the address of a camera.
function showOverview() {
  $("overview").hidden = cameraPage !== null && !document.body.classList.contains("is-stranger");
}

window.addEventListener("hashchange", () => {
  signIn.takeFromAddress();
  followAddress();
});

// The health poll

let latest = { findings: [] };
let lastResponse_ms = -Infinity;
let down_ms = Infinity;
// How often the service was restarted, and its model: what can be done depends on both.
let latestRun = "";
let wasAsked = false;
let pollTimer;

async function poll() {
  // In critical state /health returns 503 with the same JSON; a 502 from a proxy has no such body.
  const answer = await readJson("health", HEALTH_TIMEOUT_MS);
  clearTimeout(pollTimer);
  pollTimer = setTimeout(poll, document.hidden ? POLL_HIDDEN_MS : POLL_MS);
  if (typeof answer?.body?.status === "string") show(answer.body);
  else if (performance.now() - lastResponse_ms >= DOWN_AFTER_MS) showDown();
}

function showDown() {
  header.showDown();
  down_ms = Math.min(down_ms, performance.now());
  if (performance.now() - down_ms >= GIVEN_UP_AFTER_MS) actions.giveUp();
}

function show(health) {
  const wasDown = performance.now() - lastResponse_ms >= DOWN_AFTER_MS;
  lastResponse_ms = performance.now();
  down_ms = Infinity;
  header.noteResponse();
  document.body.classList.remove("is-empty");
  // A stranger gets the state and the time only.
  const isStranger = health.cameras === undefined;
  document.body.classList.toggle("is-stranger", isStranger);
  showOverview();
  // A stranger would only be refused, and one with a camera's token would take the camera's place.
  if (isStranger) {
    socket.stop();
    if (!wasAsked) signIn.askStranger();
    wasAsked = true;
    header.show(STATES.includes(health.status) ? health.status : "degraded", t("summary.sign_in"));
    return;
  }
  wasAsked = false;
  renewal.note(health.version);
  socket.start();
  latest = { findings: sorted(health.findings ?? []) };
  cameras.show(health, latest.findings);
  findings.show(latest.findings, cameras);
  showDevice($("device").querySelector("dl"), health);
  plots.update(health);
  cameraPage?.show(cameras.get(cameraPage.name), latest.findings);
  const state = STATES.includes(health.status) ? health.status : "degraded";
  const isDetecting = health.model_loaded !== false && health.governor?.limits?.admit !== false;
  header.show(state, summary(latest.findings, cameras, health.frames?.received > 0, isDetecting));
  // A restart can take less than it takes to notice that the device is down, and others act too.
  const run = `${health.service?.restarts} ${health.engine?.model}`;
  const isAnother = run !== latestRun;
  latestRun = run;
  if (wasDown || isAnother) loadActions();
  if (wasDown || isAnother || site.isOne) loadSite();
}

// Only a restart makes a device part of a site, so one that stands alone is asked once.
async function loadSite() {
  const answer = await readJson("site", HEALTH_TIMEOUT_MS);
  if (Array.isArray(answer?.body?.devices)) site.show(answer.body);
}

// Asked again when the device returns, after an action and with another model: others may be offered.
async function loadActions() {
  if (!await actions.load()) return;
  const buttons = DEVICE_ACTIONS.map((name) => actions.button(name)).filter(Boolean);
  $("actions").replaceChildren(...buttons);
  $("actions-section").hidden = $("audit").hidden = buttons.length === 0;
  findings.show(latest.findings, cameras);
  cameraPage?.show(cameras.get(cameraPage.name), latest.findings);
}

/** Starts again as another visitor. */
function enter() {
  wasAsked = false;
  socket.stop();
  poll();
  loadActions();
  loadSite();
  plots.refresh();
}

// Live results

const socket = connectSocket({
  url: BASE,
  auth: () => (keptToken() ? { token: keptToken() } : {}),
  onUp() {
    $("socket-note").hidden = true;
    socket.emit("subscribe", { cameras: "*", site: false }, (ack) => {
      const isRefused = ack?.status === "error" && ack.reason === "unauthorized";
      if (isRefused) askForToken();
      else if (!document.body.classList.contains("is-stranger")) signIn.accepted();
    });
  },
  onDown() {
    setText($("socket-note"), t("socket.interrupted"));
  },
  onRefused(message = "") {
    setText($("socket-note"), t("socket.refused", { reason: refusal(message.split(":")[0]) ?? message }));
    if (message.startsWith("unauthorized")) askForToken();
  },
  onEvent(name, payload) {
    if (name !== "detection_results" && name !== "picture") return;
    cameras.get(payload.camera)?.addResult(payload);
    if (cameraPage?.name === payload.camera) cameraPage.addResult(payload);
  },
});

// When the page becomes visible or the network returns, refresh at once instead of at the next interval.
function refreshNow() {
  if (document.hidden) return;
  poll();
  socket.retryNow();
  cameras.refresh();
  cameraPage?.refresh();
  plots.refresh();
}
document.addEventListener("visibilitychange", refreshNow);
window.addEventListener("online", refreshNow);

// The language switch, the first frame

for (const [name, label] of Object.entries(LANGUAGES)) {
  const button = make("button", label, { type: "button", lang: name, "aria-pressed": String(name === current()) });
  button.addEventListener("click", () => {
    choose(name);
    location.reload();
  });
  $("language").append(button);
}
setText($("host"), location.host);
setText($("first-frame"), `appliance camera --to ${location.origin} --name gate --source demo`);
// Browsers offer the clipboard only on https and localhost; elsewhere a tap on the command selects it.
$("copy").hidden = !navigator.clipboard;
$("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText($("first-frame").textContent);
  setText($("copy"), t("empty.copied"));
});

followAddress();
signIn.takeFromAddress();
poll();

// Keeps the page for when the device is off. Browsers allow that on https and on this machine only.
if (isSecureContext && "serviceWorker" in navigator) {
  navigator.serviceWorker.register(address("sw.js")).catch(() => {});
}
