"""The files with which the running service describes itself: for `appliance health`, `config show --running` and the
support bundle. Secrets are left out here, so that no reader can pass them on.

The page's support bundle is made by a process that the service starts. It gets the reports from the service itself:
there may be no control socket, it may be another service's, and flags are in no file.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping

import msgspec
from msgspec import Struct

from appliance.control.state import StateReport
from appliance.device.log_tail import LogTail
from appliance.health import history
from appliance.identity.audit import Audit
from appliance.settings import loader
from appliance.settings.schema import Settings
from appliance.vitals.collect import Vitals
from appliance.web.report import date, of_snapshot
from appliance.web.respond import encode


class HandedOver(Struct, frozen=True):
    """What the service hands to the process that makes its support bundle: its settings, secrets included, and reports.

    The process removes these secrets from all files.
    """

    settings: Settings
    reports: dict[str, str]


async def hand_over(settings: Settings, reports: Mapping[str, StateReport]) -> bytes:
    """`HandedOver` in JSON, for a pipe."""
    texts = {name: (await report()).decode() for name, report in reports.items()}
    return msgspec.json.encode(HandedOver(settings, texts))


def reports(
    vitals: Vitals, in_effect: Callable[[], Settings], tail: LogTail, audit: Audit
) -> Mapping[str, StateReport]:
    """Each file's name and how to make it."""

    async def health() -> bytes:
        return encode(of_snapshot(vitals.snapshot()))

    async def excerpt(span: history.Span) -> bytes:
        rows = vitals.excerpt(span)
        return await asyncio.to_thread(lambda: encode(history.as_json(rows)))

    async def settings() -> bytes:
        return loader.describe(in_effect()).encode()

    async def log() -> bytes:
        return tail.text().encode()

    async def who_did_what() -> bytes:
        entries = [
            {"at": date(one.wall_s), "who": one.who, "address": one.address, "action": one.action, "ok": one.ok,
             **one.fields}
            for one in audit.latest()
        ]  # fmt: skip
        return json.dumps(entries, indent=1).encode()

    return {
        "health.json": health,
        "history-hour.json": lambda: excerpt("hour"),
        "history-day.json": lambda: excerpt("day"),
        "settings.toml": settings,
        "log.txt": log,
        "audit.json": who_did_what,
    }
