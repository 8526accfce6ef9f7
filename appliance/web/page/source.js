// Where the page gets its data.

// Relative to this file (page/DIGEST/source.js), so that the page works at /, at /health and behind a proxy with a path
// prefix.
export const BASE = new URL("../..", import.meta.url);

/** Whether the page shows one moment, without a device: a support bundle. */
export const IS_STATIC = false;

/** The token of this visit, for a service without sessions. */
export const keptToken = () => sessionStorage.getItem("token");

export function keepToken(token) {
  sessionStorage.setItem("token", token);
}

/** An address of the service; pictures need the token in it where there are no sessions. */
export function address(path, { withToken = false } = {}) {
  const url = new URL(path, BASE);
  if (withToken && keptToken()) url.searchParams.set("token", keptToken());
  return url;
}

/** A file of the page next to this one, parsed. */
export async function readFile(name) {
  const response = await fetch(new URL(name, import.meta.url));
  return response.json();
}

/** The JSON at an address, with the response's status; null if there is none or it is not from the service. */
export async function readJson(path, timeout_ms) {
  try {
    const response = await fetch(address(path), {
      headers: { Accept: "application/json" }, cache: "no-store", signal: AbortSignal.timeout(timeout_ms),
    });
    return { status: response.status, body: await response.json() };
  } catch {
    return null;
  }
}
