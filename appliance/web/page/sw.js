// Keeps the page in the browser, so that it opens when the device is off and says since when. The service fills in the
// page's digest and files (appliance/web/page_files.py).

const CACHE = "page-DIGEST";
const FILES = ["FILES"];
const WAIT_MS = 4000;
// Styles are asked for with another Accept header than the one they were kept with.
const HOWEVER_ASKED = { ignoreVary: true };

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(FILES)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const others = (names) => names.filter((name) => name !== CACHE).map((name) => caches.delete(name));
  event.waitUntil(caches.keys().then((names) => Promise.all(others(names))).then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.mode === "navigate") event.respondWith(fromDevice(request));
  else if (new URL(request.url).pathname.includes("/page/")) event.respondWith(fromCache(request));
});

/** The device's own page; the kept one when the device does not respond. */
async function fromDevice(request) {
  try {
    return await fetch(request, { signal: AbortSignal.timeout(WAIT_MS) });
  } catch (error) {
    const kept = await caches.match("./", HOWEVER_ASKED);
    if (kept) return kept;
    throw error;
  }
}

async function fromCache(request) {
  return await caches.match(request, HOWEVER_ASKED) ?? fetch(request);
}
