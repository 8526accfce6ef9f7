"""The page in headless Chromium: what it weighs, when it is first painted, and its heap after hours.

An hour is as many polls of /health as the page makes in one, with results and histories between them: its timers run
as fast as the browser can. `HOURS=8` in the environment takes up to forty minutes.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from tests.benchmarks.report import Row
from tests.web import chromium
from tests.web.page_rig import MadeUp, cameras, healthy, serving

_HOURS = float(os.environ.get("HOURS", "1"))
_POLLS_AN_HOUR = 1800
_CAMERAS = 20
_WEIGHT_BYTES, _PAINT_MS, _HEAP_BYTES = 120_000, 1000, 50_000_000
_FASTER = """
// The polls as fast as they come; histories often; no change to timers that wait for the network.
const real = setTimeout;
window.setTimeout = (call, ms, ...more) => real(call, ms <= 2000 ? ms / 500 : ms === 10000 ? 200 : ms, ...more);
"""
_LIMIT_S = 2400


def run(folder: Path) -> list[Row]:
    if chromium.find() is None:
        return []
    return asyncio.run(_measure())


async def _measure() -> list[Row]:
    made_up = MadeUp(healthy(cameras(_CAMERAS)), results_every_s=0.05)
    async with serving(made_up) as url, chromium.tab("about:blank", 1280, 4000) as tab:
        await tab.go(url)
        await tab.until("document.querySelectorAll('.line-0').length === 6")
        await tab.until("performance.getEntriesByName('first-contentful-paint').length === 1")
        paint_ms = await tab.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        weight = await tab.evaluate(
            "performance.getEntriesByType('resource').filter(({ name }) => name.includes('/page/'))"
            ".reduce((sum, { transferSize }) => sum + transferSize,"
            " performance.getEntriesByType('navigation')[0].transferSize)"
        )
        await tab.call("Page.addScriptToEvaluateOnNewDocument", source=_FASTER)
        await tab.go(url)
        start, end = await _heap(tab), 0
        polls = 0
        for _ in range(_LIMIT_S):
            await asyncio.sleep(1)
            for stats in made_up.health["cameras"].values():
                stats["received"] += 10
                stats["answered"] += 10
                stats["latency_ms"] += 0.1
            polls = made_up.paths.count("/health")
            if polls >= _HOURS * _POLLS_AN_HOUR:
                break
        end = await _heap(tab)
    return [
        Row("weight: bytes/goal", weight / _WEIGHT_BYTES, 1.0, True, f"{weight / 1000:.0f} kB transferred"),
        Row("first paint: ms/goal", paint_ms / _PAINT_MS, 1.0, True, f"{paint_ms:.0f} ms, over loopback"),
        Row(
            f"heap after {polls / _POLLS_AN_HOUR:.1f} h: bytes/goal", end / _HEAP_BYTES, 1.0, True,
            f"{end / 1e6:.1f} MB after {polls} polls with {_CAMERAS} cameras; {start / 1e6:.1f} MB at the start",
        ),
    ]  # fmt: skip


async def _heap(tab: chromium.Tab) -> int:
    await tab.call("HeapProfiler.collectGarbage")
    return int((await tab.call("Runtime.getHeapUsage"))["usedSize"])
