"""What a person can have the service do: one verb each, used by the control socket and by the page.

Rules of this file:
- A verb decodes its request, does it or raises, and is recorded in the audit log with who asked, whatever came of it.
- Who may ask is decided before: the control socket belongs to its user, the page requires the permission to operate.
- An error's code says what is wrong: `option_invalid` and `refused` are the request's fault, all others the state's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web
from msgspec import Struct

from appliance.control.callers import caller
from appliance.control.protocol import ErrorResponse
from appliance.errors import ApplianceError
from appliance.identity.audit import Audit, AuditValue
from appliance.identity.roles import Identity


class VerbRefused(ApplianceError):
    """The request is invalid: option_invalid, action_unknown, refused."""

    code = "refused"


class NoRequest(Struct, frozen=True):
    """The request of a verb that needs nothing."""


@dataclass(frozen=True, slots=True)
class Verb:
    """One thing to do. `run` takes a `request` and returns the response; it raises ApplianceError."""

    run: Callable[[Any], Awaitable[Struct]]
    audited: str
    """Its name in the audit log."""
    request: type[Struct] = NoRequest
    fields: Callable[[Any], Mapping[str, AuditValue]] = field(default=lambda request: {})
    """What the audit log says about a request."""
    failure: Callable[[Any], str | None] = field(default=lambda response: None)
    """The code of what a response says has failed; None: nothing has."""


async def perform(verb: Verb, body: bytes, who: Identity, audit: Audit) -> Struct:
    """Decode the request (JSON), do it, and record it. Raises ApplianceError."""
    fields: dict[str, AuditValue] = {"code": "internal_error"}
    try:
        request = _decoded(verb, body)
        fields = {**verb.fields(request), **fields}
        response = await verb.run(request)
        if (failure := verb.failure(response)) is None:
            del fields["code"]
        else:
            fields["code"] = failure
    except ApplianceError as error:
        fields["code"] = error.code
        raise
    except asyncio.CancelledError:
        fields["code"] = "cancelled"
        raise
    finally:
        audit.record(who, verb.audited, "code" not in fields, **fields)
    return response


def _decoded(verb: Verb, body: bytes) -> Any:
    """The request. Raises VerbRefused."""
    try:
        return msgspec.json.decode(body or b"{}", type=verb.request)
    except msgspec.MsgspecError as error:
        raise VerbRefused(str(error), "option_invalid") from None
    except RecursionError:
        raise VerbRefused("the request is nested too deeply", "option_invalid") from None


def status_of(error: ApplianceError) -> int:
    """The HTTP status of a refusal."""
    return 400 if isinstance(error, VerbRefused) else 409


def handler(verb: Verb, audit: Audit) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A handler of the control socket."""

    async def handle(request: web.Request) -> web.Response:
        try:
            return json_response(await perform(verb, await request.read(), caller(request), audit))
        except ApplianceError as error:
            return json_response(ErrorResponse(str(error), error.code), status_of(error))

    return handle


def json_response(content: Struct, status: int = 200) -> web.Response:
    """Encode a struct of `control/protocol.py`."""
    return web.Response(body=msgspec.json.encode(content), status=status, content_type="application/json")
