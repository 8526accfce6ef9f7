"""What every test of the page in a browser asks of it: that it is accessible, and a screenshot on request."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tests.clients import nodejs
from tests.conftest import ROOT
from tests.web import chromium

_AA = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


async def violations(tab: chromium.Tab) -> list[Any]:
    """What axe-core finds on the open page, at level AA."""
    if not await tab.evaluate("Boolean(window.axe)"):
        folder = ROOT / ".cache" / "axe"
        nodejs.install(folder, "axe-core", "4")
        await tab.evaluate((folder / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8"))
    found = await tab.evaluate(
        f"axe.run(document, {{ runOnly: {_AA}, resultTypes: ['violations'] }}).then(({{ violations }}) =>"
        " violations.map(({ id, nodes }) => [id, nodes.slice(0, 3).map(({ target, failureSummary }) =>"
        " [target, failureSummary])]))"
    )
    assert isinstance(found, list)
    return found


async def keep(tab: chromium.Tab, name: str) -> None:
    """Save a screenshot in the folder $SCREENSHOTS, if it is set."""
    if folder := os.environ.get("SCREENSHOTS"):
        await tab.screenshot(Path(folder, f"{name}.png"))
