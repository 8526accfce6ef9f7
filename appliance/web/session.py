"""`/session`: the page signs in with a token, and keeps a cookie that no script can read."""

from __future__ import annotations

from typing import Annotated

import msgspec
from aiohttp import web

from appliance.identity.audit import Audit
from appliance.identity.roles import Identity
from appliance.web.authenticator import COOKIE, Authenticator
from appliance.web.identify import identify
from appliance.web.payload_types import SessionPayload, SignedOutPayload
from appliance.web.respond import Respond


class SignIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`POST /session`."""

    token: Annotated[str, msgspec.Meta(max_length=2000)]


def routes(authenticator: Authenticator, audit: Audit, respond: Respond) -> list[web.RouteDef]:
    """`GET /session` (who am I), `POST` (sign in), `DELETE` (sign out)."""

    async def show(request: web.Request) -> web.Response:
        return respond(_of(identify(request)), 200)

    async def sign_in(request: web.Request) -> web.Response:
        if request.content_type != "application/json":  # a form of another page cannot send this type
            return respond({"error": "send JSON, as application/json", "code": "option_invalid"}, 415)
        try:
            body = msgspec.json.decode(await request.read(), type=SignIn)
        except msgspec.MsgspecError:
            return respond({"error": 'send {"token": "…"}', "code": "option_invalid"}, 400)
        who = authenticator.of_token(request, body.token.strip())
        session = authenticator.sessions.open(who.credential or "")
        assert session is not None
        audit.record(who, "sign_in")
        response = respond(_of(who), 200)
        authenticator.keep_session(request, response, session)
        return response

    async def sign_out(request: web.Request) -> web.Response:
        authenticator.sessions.close(request.cookies.get(COOKIE, ""))
        answer: SignedOutPayload = {"status": "signed_out"}
        response = respond(answer)
        response.del_cookie(COOKIE, httponly=True, samesite="Strict")
        return response

    return [web.get("/session", show), web.post("/session", sign_in), web.delete("/session", sign_out)]


def _of(who: Identity) -> SessionPayload:
    return {
        "name": who.name,
        "role": who.role.value if who.role else None,
        "may": sorted(permission.value for permission in who.may),
    }
