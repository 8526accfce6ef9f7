"""A headless Chromium, controlled over the DevTools protocol without a driver."""

from __future__ import annotations

import asyncio
import base64
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-extensions", "--remote-debugging-port=0",
)  # fmt: skip


def find() -> str | None:
    """The path of the browser, or None."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Tab:
    """An open page."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self._ws, self._numbers = ws, itertools.count(1)
        self.problems: list[str] = []
        """Exceptions and console errors of the page."""

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        await self._ws.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = await self._ws.receive_json(timeout=20)
            self._note(message)
            if message.get("id") == number:
                result: dict[str, Any] = message.get("result", {})
                return result

    async def evaluate(self, expression: str) -> Any:
        result = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return result.get("result", {}).get("value")

    async def until(self, expression: str, within_s: float = 30) -> Any:
        """Wait for a JavaScript expression to be true."""
        for _ in range(round(within_s / 0.1)):
            if value := await self.evaluate(expression):
                return value
            await asyncio.sleep(0.1)
        raise AssertionError(f"never true: {expression}; problems: {self.problems}")

    async def go(self, url: str) -> None:
        """Open another address."""
        await self.call("Page.navigate", url=url)

    async def press(self, key: str) -> None:
        """Press and release a key that is no character."""
        for kind in ("rawKeyDown", "keyUp"):
            await self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    async def screenshot(self, path: Path) -> None:
        shot = await self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))

    def _note(self, message: dict[str, Any]) -> None:
        if message.get("method") == "Runtime.exceptionThrown":
            self.problems.append(str(message["params"]["exceptionDetails"].get("exception", {}).get("description")))
        if message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
            entry = message["params"]["entry"]
            self.problems.append(f"{entry['text']} {entry.get('url', '')}")


@asynccontextmanager
async def running(*flags: str) -> AsyncIterator[int]:
    """A browser; yields the port of its DevTools. `flags`: in addition to ours."""
    browser = find()
    assert browser is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            browser, *FLAGS, *flags, f"--user-data-dir={profile}", "about:blank",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            port_file = Path(profile, "DevToolsActivePort")
            for _ in range(300):
                if port_file.exists() and port_file.read_text(encoding="utf-8").count("\n"):
                    break
                await asyncio.sleep(0.1)
            yield int(port_file.read_text(encoding="utf-8").splitlines()[0])
        finally:
            process.terminate()
            await process.wait()


@asynccontextmanager
async def tab(
    url: str,
    width: int,
    height: int,
    *,
    dark: bool = False,
    language: str = "en-US",
    port: int | None = None,
) -> AsyncIterator[Tab]:
    """A page open at `url`, in the browser with this port; None: in one of its own."""
    async with AsyncExitStack() as stack:
        if port is None:
            port = await stack.enter_async_context(running())
        session = await stack.enter_async_context(aiohttp.ClientSession(f"http://127.0.0.1:{port}"))
        async with session.put("/json/new?about:blank") as answer:
            page = await answer.json()
        stack.push_async_callback(_close, session, page["id"])
        ws = await stack.enter_async_context(session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0))
        opened = Tab(ws)
        for domain in ("Runtime", "Log", "Page"):
            await opened.call(f"{domain}.enable")
        await opened.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        # Without motion, so that colours are not looked at on their way.
        features = {"prefers-color-scheme": "dark" if dark else "light", "prefers-reduced-motion": "reduce"}
        await opened.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": name, "value": value} for name, value in features.items()],
        )
        await opened.call("Emulation.setScrollbarsHidden", hidden=True)
        agent = await opened.evaluate("navigator.userAgent")
        await opened.call("Emulation.setUserAgentOverride", userAgent=agent, acceptLanguage=language)
        await opened.go(url)
        yield opened


async def _close(session: aiohttp.ClientSession, page: str) -> None:
    async with session.get(f"/json/close/{page}"):
        pass
