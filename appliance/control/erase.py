"""The verb that has the device's data erased."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from appliance.control.protocol import ErasePromise, EraseRequest
from appliance.control.verbs import Verb, handler
from appliance.device.erasure import Erasure
from appliance.identity.audit import Audit


def verbs(erasure: Erasure) -> Mapping[str, Verb]:
    """`erase`: responds before the service is stopped."""

    async def erase(request: EraseRequest) -> ErasePromise:
        erasure.request(factory_reset=request.factory_reset)
        return ErasePromise(request.factory_reset)

    def how(request: EraseRequest) -> Mapping[str, bool]:
        return {"factory_reset": request.factory_reset}

    return {"erase": Verb(erase, "erase", EraseRequest, how)}


def routes(erasure: Erasure, audit: Audit) -> list[web.RouteDef]:
    """`POST /erase`."""
    return [web.post("/erase", handler(verbs(erasure)["erase"], audit))]
