"""`/.well-known/security.txt` (RFC 9116): where to report a vulnerability of this device."""

from __future__ import annotations

import datetime
import time

from aiohttp import web

from appliance.ports import Clock

_VALID_DAYS = 180
"""RFC 9116 recommends less than a year. It is counted from the request: a device that is reachable is maintained."""
_NO_CONTACT = "The operator of this device has named no contact (server.security_contact).\n"


def routes(contact: str, supported_until: str = "", wall_clock: Clock = time.time) -> list[web.RouteDef]:
    """The file; 404 without a contact, because the file requires one."""

    async def show(request: web.Request) -> web.Response:
        if not contact:
            return web.Response(status=404, text=_NO_CONTACT)
        return web.Response(text=text_of(contact, wall_clock(), supported_until))

    return [web.get("/.well-known/security.txt", show)]


def text_of(contact: str, now_s: float, supported_until: str = "") -> str:
    """The content of the file."""
    end = datetime.datetime.fromtimestamp(now_s, datetime.timezone.utc) + datetime.timedelta(days=_VALID_DAYS)
    until = f"# Vulnerabilities are fixed until the end of {supported_until}.\n" if supported_until else ""
    return f"{until}Contact: {contact}\nExpires: {end:%Y-%m-%dT%H:%M:%SZ}\nPreferred-Languages: en, pt\n"
