"""The TLS certificate of the port, kept current while the service runs."""

from __future__ import annotations

import asyncio
import contextlib
import time

from appliance.health.facts import CertificateNotice
from appliance.ports import Clock
from appliance.service import from_settings
from appliance.settings.schema import Settings
from appliance.tls.server import ServerTls, TlsState
from appliance.web.plain_http import Door

_LOOK_EVERY_S = 60.0
"""Files replaced by an ACME client are in use after a minute; a look costs four calls of stat(2)."""


class Encryption:
    """Holds the certificate in force and the rules for plain HTTP."""

    def __init__(self, settings: Settings, wall_clock: Clock = time.time) -> None:
        self._wall_clock = wall_clock
        folder = from_settings.own_certificate_folder(settings)
        self.tls = ServerTls(from_settings.tls_rules(settings), folder, wall_clock)
        self.door = Door(encrypts=lambda: self.tls.rules.enabled)
        self._changed = asyncio.Event()
        self._follow(settings)

    def follow(self, settings: Settings) -> None:
        """Put new settings into force; the certificate within milliseconds."""
        self.tls.rules = from_settings.tls_rules(settings)
        self._follow(settings)
        self._changed.set()

    async def refresh(self) -> None:
        """Read the certificate, or make it, before the port opens or now."""
        await asyncio.get_running_loop().run_in_executor(None, self.tls.refresh)

    async def run(self) -> None:
        """Follow changes of the settings and of the files until cancelled."""
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), _LOOK_EVERY_S)
            self._changed.clear()
            await self.refresh()

    def state(self) -> TlsState | None:
        """What the port presents; None: no HTTPS."""
        return self.tls.state

    def notice(self) -> CertificateNotice:
        """What the operator must know about the certificate."""
        state = self.tls.state
        if state is None:
            return CertificateNotice(problem=self.tls.problem)
        now_s = self._wall_clock()
        left_s = state.facts.not_after_s - now_s if state.expires_soon(now_s) else None
        return CertificateNotice(problem=state.problem or self.tls.problem, expires_in_s=left_s)

    def _follow(self, settings: Settings) -> None:
        self.door.allow_plain = settings.tls.plain_http == "allow"
