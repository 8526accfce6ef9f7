"""Each attempt to have the service do something is in the audit log, whatever came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from appliance.control.page_requests import ServiceDone
from appliance.control.protocol import ForgetCameraRequest
from appliance.control.verbs import Verb, VerbRefused, perform
from appliance.errors import ApplianceError
from appliance.identity.audit import Audit, AuditEntry
from appliance.identity.roles import Role, of_role

ANNA = of_role("anna", Role.OPERATOR, "192.168.1.7")
GATE = b'{"name": "gate"}'


async def fine(request: Any) -> ServiceDone:
    return ServiceDone(restarts=False)


def failing(error: BaseException) -> Callable[[Any], Awaitable[ServiceDone]]:
    async def run(request: Any) -> ServiceDone:
        raise error

    return run


async def attempt(run: Callable[[Any], Awaitable[ServiceDone]], body: bytes = GATE) -> tuple[object, AuditEntry]:
    """What came of it, and what the audit log says."""
    audit = Audit()
    verb = Verb(run, "camera_forget", ForgetCameraRequest, lambda request: {"camera": request.name})
    came: object
    try:
        came = await perform(verb, body, ANNA, audit)
    except (ApplianceError, ZeroDivisionError, asyncio.CancelledError) as error:
        came = error
    (entry,) = audit.latest()
    assert (entry.action, entry.who, entry.address) == ("camera_forget", "anna (operator)", "192.168.1.7")
    return came, entry


async def test_what_was_done_is_recorded() -> None:
    came, entry = await attempt(fine)
    assert came == ServiceDone(restarts=False)
    assert (entry.ok, dict(entry.fields)) == (True, {"camera": "gate"})


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (VerbRefused("no"), "refused"),
        (ApplianceError("no", "camera_unknown"), "camera_unknown"),
        (ZeroDivisionError(), "internal_error"),
        (asyncio.CancelledError(), "cancelled"),
    ],
    ids=["refused", "failed", "fault", "cancelled"],
)
async def test_what_failed_is_recorded_with_its_reason(error: BaseException, code: str) -> None:
    came, entry = await attempt(failing(error))
    assert came is error
    assert (entry.ok, dict(entry.fields)) == (False, {"camera": "gate", "code": code})


@pytest.mark.parametrize(
    "body", [b"", b"[", b'{"name": 5}', b'{"name": "gate", "more": 1}', b'{"name": "\xff"}', b'{"name": ' + b"[" * 9999]
)
async def test_a_request_that_cannot_be_read_is_recorded(body: bytes) -> None:
    came, entry = await attempt(fine, body)
    assert isinstance(came, VerbRefused)
    assert (came.code, entry.ok, dict(entry.fields)) == ("option_invalid", False, {"code": "option_invalid"})


async def test_deep_nesting_is_refused_where_a_request_needs_nothing() -> None:
    audit = Audit()
    with pytest.raises(VerbRefused, match="nested"):
        await perform(Verb(fine, "settings_reload"), b'{"x": ' + b"[" * 100_000, ANNA, audit)
    assert audit.latest()[0].ok is False
