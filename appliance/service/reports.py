"""The files with which the running service describes itself: for `appliance health`, `config show --running` and the
support bundle. Secrets are left out here, so that no reader can pass them on.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from appliance.control.state import StateReport
from appliance.health import history
from appliance.settings import loader
from appliance.web.report import date, of_snapshot
from appliance.web.respond import encode

if TYPE_CHECKING:
    from appliance.service.parts import Parts


def reports(parts: Parts) -> Mapping[str, StateReport]:
    """Each file's name and how to make it."""
    vitals = parts.vitals

    async def health() -> bytes:
        return encode(of_snapshot(vitals.snapshot()))

    async def excerpt(span: history.Span) -> bytes:
        rows = vitals.excerpt(span)
        return await asyncio.to_thread(lambda: encode(history.as_json(rows)))

    async def settings() -> bytes:
        return loader.describe(parts.changes.settings).encode()

    async def log() -> bytes:
        return parts.tail.text().encode()

    async def audit() -> bytes:
        entries = [
            {"at": date(one.wall_s), "who": one.who, "address": one.address, "action": one.action, "ok": one.ok,
             **one.fields}
            for one in parts.entrance.audit.latest()
        ]  # fmt: skip
        return json.dumps(entries, indent=1).encode()

    return {
        "health.json": health,
        "history-hour.json": lambda: excerpt("hour"),
        "history-day.json": lambda: excerpt("day"),
        "settings.toml": settings,
        "log.txt": log,
        "audit.json": audit,
    }
