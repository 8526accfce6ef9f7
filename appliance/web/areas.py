"""`GET /cameras/NAME/areas`: the zones and masks of a camera, from the settings and drawn on the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from appliance import camera_names
from appliance.identity.roles import May
from appliance.web.identify import require
from appliance.web.respond import Respond


def routes(areas_of: Callable[[str], dict[str, Any]], respond: Respond) -> list[web.RouteDef]:
    """`areas_of`: all areas of a camera; those of the settings cannot be changed on the page."""

    async def show(request: web.Request) -> web.Response:
        require(request, May.VIEW)
        camera = request.match_info["camera"]
        return respond(areas_of(camera_names.looked_up(camera) or camera))

    return [web.get("/cameras/{camera}/areas", show)]
