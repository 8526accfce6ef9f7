"""What each route and each event requires. What is not listed here requires an operator.

`None`: anyone may call it; a comment says why that is safe.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from appliance.identity.roles import May

SETUP_ROUTES = frozenset({"/health/live"})
"""What the network may call before an operator has a token."""

ROUTES: Mapping[str, May | None] = {
    # The page's files hold no data; what they show is asked for separately.
    "/": None,
    "/sw.js": None,
    "/page/{digest}/{name}": None,
    "/actions": None,  # names what the caller may do; without the permission, nothing
    "/actions/log": May.OPERATE,
    "/actions/audit": May.OPERATE,
    "/actions/support_bundle": May.OPERATE,
    "/actions/{name}": May.OPERATE,
    "/session": None,  # signs in and out, and asks for a token itself
    # The same on every device of a version.
    "/openapi.json": None,
    "/asyncapi.json": None,
    "/.well-known/security.txt": None,  # where to report a vulnerability; made to be read by strangers
    # `/health` gives strangers what `access.health` allows.
    "/health": None,
    "/health/live": None,
    "/health/ready": None,
    "/health/history": May.STATE,
    "/site": May.STATE,
    "/metrics": May.METRICS,
    "/cameras/{key}/latest.jpg": May.VIEW,
    "/cameras/{camera}/areas": May.VIEW,
    "/events/{key}/picture.jpg": May.VIEW,
    "/socket.io/": None,  # CONNECT is authenticated, then each event: see EVENTS
    # A camera's token may post under its own name, and the API reads its key from the form, so these ask for May.DETECT
    # or May.SEND themselves.
    "/detect": None,
    "/v1/vision/detection": None,
    "/v1/vision/custom/{model}": None,
    "/v1/vision/custom/list": None,
    "/v1/status/version": May.DETECT,
    "/v1/server/status/version": May.DETECT,
    # These say that the API is there, and nothing about the device.
    "/v1/status/ping": None,
    "/v1/server/status/ping": None,
    "/v1/status/updateavailable": None,  # with the version, if the caller may use the API
    "/v1/server/status/updateavailable": None,
    "/v1{path}": None,  # not found
    "/v2": May.DETECT,
    # Like the routes of /health, for which these are other names.
    "/v2/health/live": None,
    "/v2/health/ready": None,
    "/v2/models/{model}": May.DETECT,
    "/v2/models/{model}/ready": May.DETECT,
    "/v2/models/{model}/infer": None,  # asks for May.DETECT, or the camera's own token
    "/v2{path}": None,  # not found
}

SELF_CHECKED: Mapping[str, frozenset[May]] = {
    "/detect": frozenset({May.DETECT, May.SEND}),
    "/v1/vision/detection": frozenset({May.DETECT, May.SEND}),
    "/v1/vision/custom/{model}": frozenset({May.DETECT, May.SEND}),
    "/v1/vision/custom/list": frozenset({May.DETECT}),
    "/v2/models/{model}/infer": frozenset({May.DETECT, May.SEND}),
}
"""Routes that check the permission themselves: one of these, with May.SEND only under the camera's own name."""

EVENTS: Mapping[str, May] = {
    "process_frame": May.SEND,
    "subscribe": May.VIEW,
    "unsubscribe": May.VIEW,
}


def required(request: web.Request) -> May | None:
    """The permission that a request requires; None: it may be called by anyone."""
    resource = request.match_info.route.resource
    if resource is None:  # not found, or a method that no route has
        return None
    return ROUTES.get(resource.canonical, May.OPERATE)
