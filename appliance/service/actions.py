"""What the page offers to do, and how: the verbs that exist now, and a log of the last lines."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct

from appliance import programs
from appliance.control import areas as area_control
from appliance.control import cameras as camera_control
from appliance.control import erase as erase_control
from appliance.control import governor as governor_control
from appliance.control.models import ModelVerbs
from appliance.control.service import ServiceHandles, ServiceVerbs
from appliance.control.tokens import TokenVerbs
from appliance.control.verbs import Verb, VerbRefused, perform
from appliance.device.erasure import Erasure
from appliance.device.log_tail import LogTail
from appliance.flow.detector import Detector
from appliance.governor.service import Governor
from appliance.identity.audit import Audit
from appliance.identity.roles import Identity
from appliance.service.drawn_areas import DrawnAreas
from appliance.vitals.collect import Vitals

_BUNDLE_S = 120.0


class Actions:
    """The page's actions: the verbs of the control socket, of which some need what is not always there."""

    def __init__(
        self,
        models: ModelVerbs,
        service: ServiceHandles,
        areas: DrawnAreas,
        tokens: TokenVerbs,
        *,
        detector: Detector,
        governor: Governor,
        vitals: Vitals,
        tail: LogTail,
        audit: Audit,
        for_support: Callable[[], Awaitable[bytes]],
        erasure: Erasure,
        safe_mode: bool,
    ) -> None:
        self._models = models
        self._verbs: dict[str, Verb] = {
            **ServiceVerbs(service).verbs(),
            **governor_control.verbs(governor),
            **models.verbs(),
            **camera_control.verbs(vitals.known_cameras, vitals.roster.remove, vitals.roster.relabel),
            **area_control.verbs(areas.keep),
            **erase_control.verbs(erasure),
            **tokens.verbs(),
        }
        self._without_a_button = frozenset(name for name in tokens.verbs() if name.startswith("token_"))
        self._tokens = tokens
        self._detector, self._governor, self._tail, self._audit = detector, governor, tail, audit
        self._for_support = for_support
        self._bundling = asyncio.Lock()
        self._possible: dict[str, Callable[[], bool]] = {
            "hold": lambda: governor.policy is not None,
            "release": lambda: governor.policy is not None,
            "self_test": lambda: detector.network is not None,
            "benchmark": lambda: detector.network is not None,
            "test_mqtt": lambda: service.try_mqtt is not None,
            "erase": lambda: erasure.possible,
            # With invalid settings no model can be loaded.
            "activate": lambda: not safe_mode,
            "roll_back": lambda: not safe_mode,
        }

    def requests(self) -> dict[str, type[Struct]]:
        """The type of each action's request."""
        return {name: verb.request for name, verb in self._verbs.items()}

    async def perform(self, name: str, body: bytes, who: Identity) -> Struct:
        """Do an action. Raises ApplianceError."""
        verb = self._verbs.get(name)
        if verb is None:
            raise VerbRefused(f"there is no action '{name[:40]}'", "action_unknown")
        return await perform(verb, body, who, self._audit)

    async def offer(self) -> dict[str, Any]:
        """The actions that are possible now, and what they may choose from."""
        models, previous = await asyncio.to_thread(lambda: (self._models.known(), self._models.previous()))
        names = [
            name
            for name in self._verbs
            if name not in self._without_a_button and self._possible.get(name, lambda: True)()
        ]
        if previous is None:
            names = [name for name in names if name != "roll_back"]
        if not models:  # nothing to choose from
            names = [name for name in names if name != "activate"]
        network = self._detector.network
        return {
            "actions": [*names, "log", "support_bundle"],
            "models": models,
            "model": network.info.name if network else None,
            "max_state": self._governor.max_state,
            "waiting": [{"name": one.name, "code": one.code} for one in self._tokens.waiting()],
        }

    def log(self, who: Identity) -> str:
        """The last lines of the log; recorded."""
        self._audit.record(who, "log_download")
        return self._tail.text()

    def audit(self) -> list[dict[str, Any]]:
        """Who did what, the newest first."""
        return [
            {
                "at": round(one.wall_s, 3),
                "who": one.who,
                "address": one.address,
                "action": one.action,
                "ok": one.ok,
                "fields": dict(one.fields),
            }
            for one in self._audit.latest()
        ]

    async def support_bundle(self, who: Identity) -> bytes:
        """The archive that `appliance support-bundle` makes, in its own process; recorded. Raises ProgramFailed."""
        self._audit.record(who, "support_bundle_download")
        command = [sys.executable, "-m", "appliance", "support-bundle", "--handed-over", "--out", "-"]
        async with self._bundling:
            return await programs.run_async(command, timeout_s=_BUNDLE_S, stdin=await self._for_support())
