"""Verbs for tokens and for cameras that wait for approval, and the audit log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from aiohttp import web

from appliance.control.protocol import (
    AddTokenRequest,
    AuditLine,
    AuditList,
    MadeToken,
    PairingAnswer,
    PairingLine,
    PairingList,
    TokenLine,
    TokenList,
    TokenName,
)
from appliance.control.verbs import Verb, handler, json_response
from appliance.identity.audit import Audit
from appliance.identity.pairing import PairingRequest, Pairings
from appliance.identity.roles import Role
from appliance.identity.tokens import Made, Record, TokenStore, role_of

_Done = TypeVar("_Done")


class TokenVerbs:
    """`enforce` ends the connections whose token has become void."""

    def __init__(self, tokens: TokenStore, pairings: Pairings, enforce: Callable[[], Awaitable[None]]) -> None:
        self._tokens, self._pairings, self._enforce = tokens, pairings, enforce

    def verbs(self) -> Mapping[str, Verb]:
        """Each raises TokenError."""
        return {
            "token_add": Verb(self.add, "token_add", AddTokenRequest, lambda one: {"name": one.name, "role": one.role}),
            "token_revoke": Verb(self.revoke, "token_revoke", TokenName, _named),
            "token_rotate": Verb(self.rotate, "token_rotate", TokenName, _named),
            "pairing_approve": Verb(self.approve, "pairing_approve", PairingAnswer, _named),
            "pairing_refuse": Verb(self.refuse, "pairing_refuse", PairingAnswer, _named),
        }

    def waiting(self) -> tuple[PairingRequest, ...]:
        """The cameras that wait for approval."""
        return self._pairings.waiting()

    async def add(self, request: AddTokenRequest) -> MadeToken:
        role = role_of(request.role)
        return _shown(await _in_thread(lambda: self._tokens.add(request.name, role)))

    async def revoke(self, request: TokenName) -> TokenLine:
        record = await _in_thread(lambda: self._tokens.revoke(request.name))
        await self._enforce()
        return _line(record)

    async def rotate(self, request: TokenName) -> MadeToken:
        made = await _in_thread(lambda: self._tokens.rotate(request.name))
        await self._enforce()
        return _shown(made)

    async def approve(self, request: PairingAnswer) -> TokenLine:
        asking = self._pairings.find(request.name, request.code)
        record = await _in_thread(lambda: self._tokens.adopt(asking.name, Role.CAMERA, asking.token))
        self._pairings.forget(asking)
        await self._enforce()  # a former camera of this name
        return _line(record)

    async def refuse(self, request: PairingAnswer) -> PairingLine:
        asking = self._pairings.find(request.name, request.code)
        self._pairings.forget(asking)
        return _asking(asking)


def routes(verbs: TokenVerbs, tokens: TokenStore, pairings: Pairings, audit: Audit) -> list[web.RouteDef]:
    """The verbs, `GET /tokens`, `GET /pairings` and `GET /audit`. They are never served on a port."""

    async def show(request: web.Request) -> web.Response:
        return json_response(TokenList(tuple(_line(record) for record in tokens.records)))

    async def waiting(request: web.Request) -> web.Response:
        return json_response(PairingList(tuple(_asking(one) for one in pairings.waiting())))

    async def latest(request: web.Request) -> web.Response:
        return json_response(
            AuditList(
                tuple(
                    AuditLine(one.wall_s, one.who, one.address, one.action, one.ok, dict(one.fields))
                    for one in audit.latest()
                )
            )
        )

    posts = [web.post(f"/{name.replace('_', '/')}", handler(verb, audit)) for name, verb in verbs.verbs().items()]
    return [web.get("/tokens", show), web.get("/pairings", waiting), web.get("/audit", latest), *posts]


def _named(request: TokenName | PairingAnswer) -> Mapping[str, str]:
    return {"name": request.name}


def _shown(made: Made) -> MadeToken:
    return MadeToken(made.record.name, made.record.role.value, made.token)


def _line(record: Record) -> TokenLine:
    return TokenLine(record.name, record.role.value, record.made_at)


def _asking(one: PairingRequest) -> PairingLine:
    return PairingLine(one.name, one.code, one.address)


async def _in_thread(work: Callable[[], _Done]) -> _Done:
    """Tokens are written to disk."""
    return await asyncio.get_running_loop().run_in_executor(None, work)
