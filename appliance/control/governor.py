"""The governor's verbs, hold and release, and its status."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from appliance.control.protocol import LONGEST_HOLD_S, GovernorStatus, GovernorSwitch, HoldRequest, LadderStep
from appliance.control.verbs import NoRequest, Verb, VerbRefused, handler, json_response
from appliance.governor import words
from appliance.governor.service import Governor
from appliance.identity.audit import Audit


def verbs(governor: Governor) -> Mapping[str, Verb]:
    """`hold` and `release`."""

    async def hold(request: HoldRequest) -> GovernorStatus | GovernorSwitch:
        if not 0 < request.for_s <= LONGEST_HOLD_S:
            raise VerbRefused("for_s: must be above 0 and at most 24 hours")
        try:
            governor.hold(request.state, request.for_s)
        except ValueError as error:
            raise VerbRefused(str(error)) from None
        return status_of(governor)

    async def release(request: NoRequest) -> GovernorStatus | GovernorSwitch:
        governor.release()
        return status_of(governor)

    def held(request: HoldRequest) -> Mapping[str, float]:
        return {"level": request.state, "for_s": request.for_s}

    return {
        "hold": Verb(hold, "governor_hold", HoldRequest, held),
        "release": Verb(release, "governor_release"),
    }


def routes(governor: Governor, audit: Audit) -> list[web.RouteDef]:
    """`GET /governor`, `POST /governor/hold` and `POST /governor/release`."""
    known = verbs(governor)

    async def show(request: web.Request) -> web.Response:
        return json_response(status_of(governor))

    return [
        web.get("/governor", show),
        web.post("/governor/hold", handler(known["hold"], audit)),
        web.post("/governor/release", handler(known["release"], audit)),
    ]


def status_of(governor: Governor) -> GovernorStatus | GovernorSwitch:
    """The governor's status as `appliance governor show` prints it."""
    state, reading, policy = governor.state, governor.reading, governor.policy
    if policy is None:
        return GovernorSwitch(enabled=False)
    return GovernorStatus(
        cur_state=governor.cur_state,
        max_state=governor.max_state,
        time_in_state_s=round(governor.time_in_state_s, 1),
        transitions=governor.transitions,
        reason=governor.limits.reason,
        why=words.cause(state, reading, governor.target_c) if reading and governor.target_c else "no reading yet",
        held_for_s=governor.held_for_s,
        memory=words.shortage(state),
        measured=policy.ladder.measured,
        ladder=tuple(LadderStep(step.heat, words.meaning(step)) for step in policy.ladder.steps),
    )
