"""The routes under `/health`: the state of the device, for programs and for browsers."""

from __future__ import annotations

import asyncio
from typing import cast, get_args

from aiohttp import web

from appliance import camera_names
from appliance.health import history
from appliance.identity.roles import May
from appliance.vitals.collect import Vitals
from appliance.web import health_text
from appliance.web.access import Access
from appliance.web.identify import identify, require
from appliance.web.page_files import Page
from appliance.web.payload_types import LivePayload, ReadyPayload
from appliance.web.report import of_snapshot, state_of
from appliance.web.respond import Respond, encode


def routes(vitals: Vitals, respond: Respond, page: Page, access: Access) -> list[web.RouteDef]:
    """`/health` and the routes under it. `/health` is the page for browsers, text where that is accepted, else JSON."""

    def sees_all(request: web.Request) -> bool:
        """Whether the caller sees more than the state. Raises AccessDenied if it may not even see that."""
        if access.rules.health == "full" or May.STATE in identify(request).may:
            return True
        if access.rules.health == "none":
            require(request, May.STATE)
        return False

    async def report(request: web.Request) -> web.StreamResponse:
        accepted = request.headers.get("Accept", "")
        if "text/html" in accepted:
            return await page.index(request)
        snapshot = vitals.snapshot()
        payload = of_snapshot(snapshot) if sees_all(request) else state_of(snapshot)
        status = 503 if snapshot.status == "critical" else 200
        if "text/plain" in accepted:
            return web.Response(text=health_text.of_payload(payload), status=status)
        return respond(payload, status)

    async def live(request: web.Request) -> web.Response:
        payload: LivePayload = {"live": True}
        return respond(payload)

    async def ready(request: web.Request) -> web.Response:
        snapshot = vitals.snapshot()
        payload: ReadyPayload = {"ready": snapshot.ready}
        if sees_all(request):
            payload["canary"] = snapshot.canary.message
        return respond(payload, 200 if snapshot.ready else 503)

    async def history_excerpt(request: web.Request) -> web.Response:
        span = request.query.get("span", "hour")
        if span not in get_args(history.Span):
            return respond({"error": "span must be hour or day", "code": "option_invalid"}, 400)
        camera = request.query.get("camera")
        if camera is not None:
            if span != "hour":
                return respond({"error": "span must be hour for a camera", "code": "option_invalid"}, 400)
            return respond(vitals.camera_excerpt(camera_names.looked_up(camera) or camera), 200)
        excerpt = vitals.excerpt(cast(history.Span, span))
        body = await asyncio.get_running_loop().run_in_executor(None, lambda: encode(history.as_json(excerpt)))
        return respond.encoded(body, 200)

    return [
        web.get("/health", report),
        web.get("/health/live", live),
        web.get("/health/ready", ready),
        web.get("/health/history", history_excerpt),
    ]
