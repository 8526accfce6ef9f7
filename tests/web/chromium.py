"""A headless Chromium, controlled over the DevTools protocol without a driver."""

from __future__ import annotations

import asyncio
import base64
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
async def tab(url: str, width: int, height: int, *, dark: bool = False, language: str = "en-US") -> AsyncIterator[Tab]:
    """A browser with one page open at `url`."""
    browser = find()
    assert browser is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            browser, *FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}", "about:blank",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            port_file = Path(profile, "DevToolsActivePort")
            for _ in range(300):
                if port_file.exists() and port_file.read_text(encoding="utf-8").count("\n"):
                    break
                await asyncio.sleep(0.1)
            port = port_file.read_text(encoding="utf-8").splitlines()[0]
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json") as answer:
                    targets = await answer.json()
                page = next(target for target in targets if target["type"] == "page")
                async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as ws:
                    opened = Tab(ws)
                    for domain in ("Runtime", "Log", "Page"):
                        await opened.call(f"{domain}.enable")
                    await opened.call(
                        "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                        mobile=width < 600,
                    )  # fmt: skip
                    # Without motion, so that colours are not looked at on their way.
                    features = {
                        "prefers-color-scheme": "dark" if dark else "light",
                        "prefers-reduced-motion": "reduce",
                    }
                    await opened.call(
                        "Emulation.setEmulatedMedia",
                        features=[{"name": name, "value": value} for name, value in features.items()],
                    )
                    agent = await opened.evaluate("navigator.userAgent")
                    await opened.call("Emulation.setUserAgentOverride", userAgent=agent, acceptLanguage=language)
                    await opened.go(url)
                    yield opened
        finally:
            process.terminate()
            await process.wait()
