"""Reload the settings on SIGHUP, while cameras stay connected.

Rules of this file:
- The new settings are validated as a whole before any of them takes effect. An invalid file changes nothing and is a
  finding until a valid one is read.
- Settings that need a restart are named in the log and stay as they are. That includes a larger input size for an
  engine that was built ahead for the present one: every frame would fail until the next start rebuilds it.
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
    "access.auth",
    "access.health",
    "access.loopback",
    "access.metrics",
    "access.name_taken",
    "access.pairing",
    "cameras",
    "events.enabled",
    "events.min_confidence",
    "events.off_delay_s",
    "events.on_delay_s",
    "events.update_s",
    "flow.max_side",
    "flow.min_interval_s",
    "log.level",
    "server.allowed_hosts",
    "server.api_key",
    "server.cors_origins",
    "server.max_connections",
    "server.require_token",
    "server.trusted_proxies",
    "server.viewer_token",
    "tls.certificate",
    "tls.enabled",
    "tls.key",
    "tls.plain_http",
)
"""Settings that a reload changes; all others need a restart."""


class Reload:
    """Holds the settings in force. `read` returns the new ones or raises ConfigError; `apply` puts them into force.

    `built_ahead`: the engine takes no larger input than `flow.max_side` allowed at the start.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        read: Callable[[], Settings],
        apply: Callable[[Settings], None],
        built_ahead: bool = False,
    ) -> None:
        self._started, self._now = settings, settings
        self._read, self._apply, self._built_ahead = read, apply, built_ahead
        self._problem: ConfigError | None = None

    async def run(self, asked: asyncio.Event, pulse: Pulse, working: asyncio.Event) -> None:
        """Reload whenever `asked` is set, until cancelled; not before `working` is set."""
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
        """Read the settings and apply them, or report why not."""
        try:
            new = await asyncio.get_running_loop().run_in_executor(None, self._read)
        except ConfigError as error:
            self._problem = error
            log.error("reload failed; the previous settings stay in force: %s", error, extra={"code": error.code})
            return
        self._problem = None
        written, new = new, self._within_the_engine(new)
        live = [key for key in changed(self._now, new) if is_live(key)]
        waiting = [key for key in changed(self._started, written) if not is_live(key)] + changed(new, written)
        self._apply(new)
        self._now = new
        log.warning("settings reloaded; changed: %s", ", ".join(live) or "nothing")
        if waiting:
            log.warning("restart the service to apply: %s", ", ".join(waiting))

    def _within_the_engine(self, new: Settings) -> Settings:
        largest = self._started.flow.max_side
        if not self._built_ahead or new.flow.max_side <= largest:
            return new
        return msgspec.structs.replace(new, flow=msgspec.structs.replace(new.flow, max_side=largest))

    @property
    def problem(self) -> str | None:
        """Why the last reload failed; None: it succeeded."""
        return str(self._problem) if self._problem else None


def is_live(key: str) -> bool:
    """Whether a reload applies this dotted key."""
    return key in LIVE or key.partition(".")[0] in LIVE


def changed(old: Settings, new: Settings) -> list[str]:
    """The dotted keys whose values differ, cameras by name."""
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
