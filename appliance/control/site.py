"""The verbs for one device of a site: drain and undrain."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from appliance.control.protocol import SiteStatus
from appliance.control.verbs import NoRequest, Verb, handler, json_response
from appliance.errors import ApplianceError
from appliance.identity.audit import Audit
from appliance.site.mover import Mover


class SiteOff(ApplianceError):
    """The device stands behind no front."""

    code = "site_off"


def verbs(mover: Mover | None) -> Mapping[str, Verb]:
    """`drain` and `undrain`."""

    async def drain(request: NoRequest) -> SiteStatus:
        _present(mover).drain(True)
        return status_of(mover)

    async def undrain(request: NoRequest) -> SiteStatus:
        _present(mover).drain(False)
        return status_of(mover)

    return {"drain": Verb(drain, "drain"), "undrain": Verb(undrain, "undrain")}


def routes(mover: Mover | None, audit: Audit) -> list[web.RouteDef]:
    """`GET /site/status`, `POST /site/drain` and `POST /site/undrain`."""
    known = verbs(mover)

    async def show(request: web.Request) -> web.Response:
        return json_response(status_of(mover))

    return [
        web.get("/site/status", show),
        web.post("/site/drain", handler(known["drain"], audit)),
        web.post("/site/undrain", handler(known["undrain"], audit)),
    ]


def status_of(mover: Mover | None) -> SiteStatus:
    """How this device takes part in its site."""
    if mover is None:
        return SiteStatus(enabled=False)
    moved = {reason.value: count for reason, count in mover.moved.items()}
    return SiteStatus(enabled=True, drained=mover.drained, cameras=mover.cameras, moved=moved)


def _present(mover: Mover | None) -> Mover:
    if mover is None:
        raise SiteOff(
            "this device does not stand behind a front. "
            "Set site.agent_port and server.trusted_proxies; see docs/site.md"
        )
    return mover
