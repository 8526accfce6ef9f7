"""The page of the device as one file that opens without a device: the same modules, with the reports inside."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping
from pathlib import Path

from appliance.web.page_files import PAGE

_SOURCE = """
export const IS_STATIC = true;
const reports = JSON.parse(document.getElementById("reports").textContent);
export const BASE = new URL(document.baseURI);
export const keptToken = () => null;
export const keepToken = () => {};
export const address = () => new URL("data:,");
export async function readFile(name) { return reports.texts[name]; }
export async function readJson(path) {
  const name = path.startsWith("health/history") ? (path.includes("day") ? "history-day.json" : "history-hour.json")
    : path === "health" ? "health.json" : null;
  const body = path.includes("camera=") ? null : reports[name];
  return body ? { status: 200, body } : null;
}
"""
_STYLE = "article.camera figure, .wide figure { display: none }"  # a bundle has no pictures
_SOCKET = "export function connectSocket() { return { start() {}, stop() {}, retryNow() {}, emit() {} }; }"


def build(files: Mapping[str, bytes], title: str, folder: Path = PAGE) -> bytes:
    """An index.html that shows the collected reports under this title. `folder`: the page's files."""
    modules = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.js")}
    modules |= {"source.js": _SOURCE, "socket.js": _SOCKET}
    del modules["sw.js"]
    imports = {f"appliance/{name}": _as_address(_absolute(text)) for name, text in modules.items()}
    reports = {name: json.loads(files[name]) for name in files if name.endswith(".json") and _is_json(files[name])}
    reports["texts"] = {path.name: json.loads(path.read_bytes()) for path in folder.glob("*.json")}
    page = (folder / "index.html").read_text(encoding="utf-8")
    style = (folder / "page.css").read_text(encoding="utf-8")
    page = page.replace('<link rel="stylesheet" href="page/DIGEST/page.css">', f"<style>{style}{_STYLE}</style>")
    page = page.replace("<!-- MODULES -->", f'<script type="importmap">{_json({"imports": imports})}</script>')
    page = page.replace(
        '<script type="module" src="page/DIGEST/page.js"></script>',
        f'<script type="application/json" id="reports">{_json(reports)}</script>\n'
        '  <script type="module">import "appliance/page.js";</script>',
    )
    notice = f'<p id="bundle" class="notice"><b>{html.escape(title)}</b>'
    return page.replace('<p id="bundle" class="notice" hidden><b></b>', notice).encode()


def _absolute(module: str) -> str:
    """A module at a data address has no neighbours: name them by the import map."""
    return re.sub(r'from "\./', 'from "appliance/', module)


def _as_address(module: str) -> str:
    return f"data:text/javascript;base64,{base64.b64encode(module.encode()).decode()}"


def _json(content: object) -> str:
    """JSON that cannot end its script element."""
    return json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except (ValueError, RecursionError):
        return False
    return True
