"""Who gets in: the tokens, who is connected with them, and what happens when they change.

Rules of this file:
- The first start that other machines can reach makes a token for the operator. It lies in a file that only the service
  and root can read, for the console and for whoever installs the device, until it is used for the first time.
- A token that is revoked or replaced ends its connections at once, whoever changed the file.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path

import anyio

from appliance import files
from appliance.control.tokens import TokenVerbs
from appliance.health.facts import AccessNotices
from appliance.identity.audit import Audit
from appliance.identity.brake import Brake
from appliance.identity.pairing import Pairings
from appliance.identity.roles import Role
from appliance.identity.tokens import FILE, TokenError, TokenStore
from appliance.ports import Clock
from appliance.web.access import Access, AccessRules
from appliance.web.arrivals import Arrivals
from appliance.web.authenticator import Authenticator
from appliance.web.connections import Connections
from appliance.web.publisher import Publisher

log = logging.getLogger(__name__)

FIRST_TOKEN = "operator-token"
"""The file with the first token, next to the tokens."""
_OPERATOR = "operator"
_POLL_S = 1.0
_SESSIONS_S = 60.0
"""How often sessions are looked at that may have expired."""


@dataclass(frozen=True, slots=True)
class FirstToken:
    """The token made at the first start."""

    token: str
    path: Path


class Entrance:
    """Holds what decides about callers. `folder`: of the tokens."""

    def __init__(
        self,
        access: Access,
        folder: Path,
        publisher: Publisher,
        connections: Connections,
        audit: Audit,
        clock: Clock,
    ) -> None:
        self.tokens = TokenStore(folder / FILE)
        self.audit, self.brake, self.pairings = audit, Brake(clock), Pairings(clock)
        self.authenticator = Authenticator(access, self.tokens, self.brake)
        self.arrivals = Arrivals(self.authenticator, publisher, self.pairings, clock)
        self.token_verbs = TokenVerbs(self.tokens, self.pairings, self.enforce)
        self._access, self._folder, self._connections = access, folder, connections
        self._changed, self._clock = asyncio.Event(), clock
        self.authenticator.sessions.changed = self._changed.set
        self._exposed = False
        self._first = folder / FIRST_TOKEN
        self._not_made: str | None = None
        """Why the first start made no token."""

    async def first_start(self, exposed: bool) -> FirstToken | None:
        """Make the operator's token if other machines can reach the service (`exposed`) and there is none."""
        self._exposed = exposed
        if not exposed or not self._access.rules.auth or self.tokens.has(Role.OPERATOR):
            return None
        return await asyncio.get_running_loop().run_in_executor(None, self._make_first)

    async def run(self) -> None:
        """Follow changes of the tokens and the end of sessions until cancelled."""
        loop, enforced_s = asyncio.get_running_loop(), self._clock()
        while True:
            with anyio.move_on_after(_POLL_S):
                await self._changed.wait()
            refreshed = await loop.run_in_executor(None, self.tokens.refresh)
            if refreshed or self._changed.is_set() or self._clock() - enforced_s > _SESSIONS_S:
                self._changed.clear()
                enforced_s = self._clock()
                await self.enforce()
            if self.authenticator.operator_seen:
                self.authenticator.operator_seen = False
                await loop.run_in_executor(None, self._remove_first)

    def follow(self, rules: AccessRules) -> None:
        """Apply new settings."""
        self._access.apply(rules)

    async def enforce(self) -> None:
        """End the connections whose token is void, or whose session has ended."""
        for sid in self.arrivals.void():
            await self._connections.end(sid, "its token was revoked or replaced, or its session has ended")

    @property
    def exposed(self) -> bool:
        """Whether other machines can reach the service."""
        return self._exposed

    def notices(self) -> AccessNotices:
        """What an operator should know."""
        guessing = self.brake.guessing()
        return AccessNotices(
            open_to_all=self._exposed and not self._access.rules.auth,
            tokens_problem=self._problem(),
            guesses=guessing.attempts if guessing else 0,
            guessed_from=guessing.address if guessing else "",
            contested=self.arrivals.contested(),
            waiting=tuple(f"{one.name} ({one.code})" for one in self.pairings.waiting()),
            short=self._access.rules.short_tokens(),
        )

    def _problem(self) -> str | None:
        """Why no operator can sign in from another machine; None: one can, or no other machine can reach the device."""
        if not self._exposed or self.tokens.has(Role.OPERATOR):
            return None
        no_token = self._not_made or "no operator has a token"
        return self.tokens.problem or (no_token if self._access.rules.auth else None)

    def _make_first(self) -> FirstToken | None:
        """Make the token and keep it for the installer. Blocks."""
        try:
            made = self.tokens.add(_OPERATOR, Role.OPERATOR, self._keep_first)
        except TokenError as error:
            self._remove_first()
            self._not_made = str(error)
            log.error("no token for the operator: %s. Other machines get no answer until there is one", error)
            return None
        log.warning("the operator's first token is in %s until it is used", self._first)
        return FirstToken(made.token, self._first)

    def _keep_first(self, token: str) -> None:
        try:
            files.write(self._first, token.encode() + b"\n", 0o600)
        except OSError as error:
            raise TokenError(f"cannot write {self._first}: {error.strerror}", "tokens_not_kept") from None

    def _remove_first(self) -> None:
        with contextlib.suppress(OSError):
            self._first.unlink(missing_ok=True)
