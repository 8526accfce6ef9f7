"""The files of the page: compressed once, and kept by browsers for as long as they do not change.

Rules of this file:
- An address names a digest of all files (`page/DIGEST/page.js`). Browsers keep such a file forever and never
  ask again; a new release has other addresses.
- The page itself has one address, so browsers ask each time whether it has changed (ETag).
- Files are read and compressed in a thread, at the first request; again if that failed, as while too many are open.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

PAGE = Path(__file__).parent / "page"
_INDEX, _WORKER, _MAIN = "index.html", "sw.js", "page.js"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
}
_VARY = "Accept, Accept-Encoding"
"""Of the page: at `/health`, programs get JSON."""
_FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class PageFile:
    """A file as it is sent: plain and gzip."""

    content_type: str
    plain: bytes
    packed: bytes


@dataclass(frozen=True, slots=True)
class PageFiles:
    """All files of the page by name, and their digest."""

    digest: str
    files: dict[str, PageFile]


def read(folder: Path = PAGE) -> PageFiles:
    """Read and compress the page's files, with the digest and the list of modules filled in. Blocks for some ms."""
    contents = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix in _TYPES}
    digest = hashlib.sha256(b"".join(name.encode() + content for name, content in contents.items())).hexdigest()[:16]
    assets = [name for name in contents if name not in (_INDEX, _WORKER)]
    links = "\n  ".join(
        f'<link rel="modulepreload" href="page/{digest}/{name}">'
        for name in assets
        if name.endswith(".js") and name != _MAIN
    )
    kept = ", ".join(f'"{name}"' for name in ("./", *(f"page/{digest}/{name}" for name in assets)))
    for name, pairs in {
        _INDEX: {"<!-- MODULES -->": links, "page/DIGEST/": f"page/{digest}/"},
        _WORKER: {"page-DIGEST": f"page-{digest}", '"FILES"': kept},
    }.items():
        for old, new in pairs.items():
            contents[name] = contents[name].replace(old.encode(), new.encode())
    return PageFiles(digest, {name: _file(name, content) for name, content in contents.items()})


def _file(name: str, content: bytes) -> PageFile:
    return PageFile(_TYPES[Path(name).suffix], content, gzip.compress(content, 9, mtime=0))


class Page:
    """Serves the page's files from memory."""

    def __init__(self, folder: Path = PAGE) -> None:
        self._folder = folder
        self._read: asyncio.Future[PageFiles] | None = None

    async def index(self, request: web.Request) -> web.Response:
        """The page itself, at `/` and for browsers at `/health`."""
        return await self._answer(request, _INDEX, "no-cache")

    def routes(self) -> list[web.RouteDef]:
        """`/`, the service worker, and the files by digest."""

        async def worker(request: web.Request) -> web.Response:
            return await self._answer(request, _WORKER, "no-cache")

        async def asset(request: web.Request) -> web.Response:
            current = (await self._files()).digest == request.match_info["digest"]
            # The files of another release than the open page's: usable, but not to be kept under that address.
            return await self._answer(request, request.match_info["name"], _FOREVER if current else "no-cache")

        return [web.get("/", self.index), web.get("/sw.js", worker), web.get("/page/{digest}/{name}", asset)]

    async def _files(self) -> PageFiles:
        if self._read is None or (self._read.done() and self._read.exception() is not None):
            self._read = asyncio.get_running_loop().run_in_executor(None, read, self._folder)
        return await asyncio.shield(self._read)

    async def _answer(self, request: web.Request, name: str, keep: str) -> web.Response:
        files = await self._files()
        file = files.files.get(name)
        if file is None:
            raise web.HTTPNotFound(text="file not found\n")
        headers = {
            "Cache-Control": keep,
            "ETag": f'"{files.digest}"',
            "Vary": _VARY if name == _INDEX else "Accept-Encoding",
        }
        if any(tag.value == files.digest for tag in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        headers["Content-Type"] = file.content_type
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=file.packed, headers={**headers, "Content-Encoding": "gzip"})
        return web.Response(body=file.plain, headers=headers)
