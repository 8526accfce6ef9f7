"""SIGHUP: tokens, limits and the log's level change while cameras stay connected.

Rules of this file:
- The new settings are checked as a whole before any of them holds; a bad file changes nothing, and is a finding until a
  good one comes.
- What only a restart can change is named, and stays as it is. So does a larger input where the engine is built ahead
  for the largest one: every frame would fail, and after a restart it is built anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import msgspec

from appliance.errors import ConfigError
from appliance.service.pulse import Pulse
from appliance.settings.schema import Settings

log = logging.getLogger(__name__)

LIVE = (
    "cameras",
    "flow.max_side",
    "flow.min_interval_s",
    "log.level",
    "server.allowed_hosts",
    "server.api_key",
    "server.cors_origins",
    "server.max_connections",
    "server.require_token",
    "server.viewer_token",
)
"""What a reload changes; all else waits for a restart."""
BUILT_AHEAD = ("tensorrt",)
"""Kinds of engines that take no larger input than `flow.max_side` was at the start."""


class Reload:
    """Keeps the settings in force. `read` gives the new ones or raises ConfigError; `apply` hands them to the parts."""

    def __init__(self, settings: Settings, *, read: Callable[[], Settings], apply: Callable[[Settings], None]) -> None:
        self._started, self._now = settings, settings
        self._read, self._apply = read, apply
        self._problem: ConfigError | None = None

    async def run(self, asked: asyncio.Event, pulse: Pulse, working: asyncio.Event) -> None:
        """Reload whenever it is asked for, until cancelled; from when the box is `working` on."""
        await working.wait()
        while True:
            await asked.wait()
            asked.clear()
            pulse.reloading()
            try:
                await self.once()
            finally:
                pulse.reloaded()

    async def once(self) -> None:
        """Read the settings again and let them hold, or say why not."""
        try:
            new = await asyncio.get_running_loop().run_in_executor(None, self._read)
        except ConfigError as error:
            self._problem = error
            log.error("not reloaded, the settings from before still hold: %s", error, extra={"code": error.code})
            return
        self._problem = None
        written, new = new, self._within_the_engine(new)
        live = [key for key in changed(self._now, new) if is_live(key)]
        waiting = [key for key in changed(self._started, written) if not is_live(key)] + changed(new, written)
        self._apply(new)
        self._now = new
        log.warning("reloaded; changed: %s", ", ".join(live) or "nothing")
        if waiting:
            log.warning("changed as well, but only a restart brings it in: %s", ", ".join(waiting))

    def _within_the_engine(self, new: Settings) -> Settings:
        largest = self._started.flow.max_side
        if self._started.engine.kind not in BUILT_AHEAD or new.flow.max_side <= largest:
            return new
        return msgspec.structs.replace(new, flow=msgspec.structs.replace(new.flow, max_side=largest))

    @property
    def problem(self) -> str | None:
        """What is wrong with the last reload, if anything."""
        return str(self._problem) if self._problem else None


def is_live(key: str) -> bool:
    """Whether a reload changes this dotted key."""
    return key in LIVE or key.partition(".")[0] in LIVE


def changed(old: Settings, new: Settings) -> list[str]:
    """The dotted keys whose values differ; cameras by their name."""
    return sorted(_differing(msgspec.to_builtins(old), msgspec.to_builtins(new), depth=2))


def _differing(old: dict[str, object], new: dict[str, object], depth: int) -> list[str]:
    keys: list[str] = []
    for key in old.keys() | new.keys():
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if depth > 1 and isinstance(before, dict) and isinstance(after, dict):
            keys += [f"{key}.{inner}" for inner in _differing(before, after, depth - 1)]
        else:
            keys.append(key)
    return keys
