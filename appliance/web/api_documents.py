"""`/openapi.json` and `/asyncapi.json`: the interfaces of this device for programs that read such documents.

They are the same on every device of a version and contain nothing about it, so anyone may read them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

import msgspec
from aiohttp import web

from appliance.web import asyncapi, openapi
from appliance.web.asyncapi import Topic
from appliance.web.payloads import Payload
from appliance.web.respond import Respond, encode


def routes(
    actions: Mapping[str, type[msgspec.Struct]], topics: Iterable[Topic], respond: Respond
) -> list[web.RouteDef]:
    """`actions`: the request of each action. `topics`: those of MQTT."""
    kept: dict[str, bytes] = {}

    async def answer(path: str, make: Callable[[], Payload]) -> web.Response:
        if path not in kept:
            kept[path] = await asyncio.get_running_loop().run_in_executor(None, lambda: encode(make()))
        return respond.encoded(kept[path])

    async def http(request: web.Request) -> web.Response:
        table = list(request.app.router.routes())
        return await answer(request.path, lambda: openapi.document(table, actions))

    async def events(request: web.Request) -> web.Response:
        return await answer(request.path, lambda: asyncapi.document(topics))

    return [web.get("/openapi.json", http), web.get("/asyncapi.json", events)]
