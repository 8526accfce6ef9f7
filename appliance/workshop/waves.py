"""Offer a release to more devices while those that have it are well, as the operator's Prometheus sees them.

Rules of this file:
- `decide` is pure. It never raises the share on missing evidence: no data is no good news.
- One device that went back from the release stops the wave; a person decides then.
- Prometheus only says what it saw. The share is raised with the operator's key, which does not leave that machine.
"""

from __future__ import annotations

import http.client
import json
import math
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from appliance.errors import ApplianceError
from appliance.health.words import counted
from appliance.update.offer import Offer

STEPS = (10, 30, 100)
_TIMEOUT_S = 30.0
_MOST_BYTES = 20_000_000
_PART = 0.5
"""Of the devices that a share stands for. Others wait for a person, or for their window."""


class WavesError(ApplianceError):
    """Prometheus does not say how the devices are."""

    code = "waves_unknown"


@dataclass(frozen=True, slots=True)
class Fleet:
    """What Prometheus knows: the devices by their label `instance`."""

    devices: frozenset[str]
    running: frozenset[str]
    """They run the release now."""
    settled: frozenset[str]
    """They ran it already before the time that a release has to prove itself."""
    unwell: Mapping[str, str]
    """Those that ran it and are not well, with the reason."""
    went_back: frozenset[str]
    """They undid an update since the release was signed."""


class WaveStep(Enum):
    RAISE = "raise"
    WAIT = "wait"
    STOP = "stop"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class NextWave:
    """`share`: to offer the release to from now on, in percent."""

    step: WaveStep
    share: int
    why: str


def decide(share: int, steps: Sequence[int], fleet: Fleet) -> NextWave:
    """`share`: of the devices to which the release is offered now; `steps`: the shares in order."""
    if fleet.went_back:
        return NextWave(WaveStep.STOP, share, f"{_named(fleet.went_back)} went back to the older release")
    if fleet.unwell:
        reasons = "; ".join(f"{device}: {why}" for device, why in sorted(fleet.unwell.items())[:3])
        of = len(fleet.running | fleet.unwell.keys())
        verb = "is" if len(fleet.unwell) == 1 else "are"
        return NextWave(WaveStep.STOP, share, f"{len(fleet.unwell)} of {of} {verb} not well: {reasons}")
    following = next((step for step in steps if step > share), None)
    if following is None:
        return NextWave(WaveStep.DONE, share, f"{len(fleet.running)} of {_devices(fleet.devices)} run it")
    wanted = max(1, math.ceil(_PART * share / 100 * len(fleet.devices)))
    if len(fleet.settled) < wanted:
        have, run = (
            counted(len(fleet.settled), "device has", "devices have"),
            counted(len(fleet.running), "runs", "run"),
        )
        why = f"{have} run it long enough, {counted(wanted, 'is', 'are')} wanted; {run} it"
        return NextWave(WaveStep.WAIT, share, why)
    have = counted(len(fleet.settled), "device has", "devices have")
    well = "is well" if len(fleet.settled) == 1 else "are well"
    return NextWave(WaveStep.RAISE, following, f"{have} run it long enough and {well}")


def _devices(devices: frozenset[str]) -> str:
    return counted(len(devices), "device", "devices")


def _named(devices: frozenset[str]) -> str:
    shown = sorted(devices)
    return ", ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")


class Prometheus:
    """Prometheus's HTTP API. `token`: for a server that asks for one. `job`: of the devices."""

    def __init__(self, url: str, token: str = "", job: str = "appliance") -> None:
        self._url, self._token, self._job = url.rstrip("/"), token, job

    def fleet(self, offer: Offer, hours: float) -> Fleet:
        """How the devices with this release are. `hours`: how long it must have run. Raises WavesError."""
        of_job = f'job="{self._job}"'
        version = offer.version.replace("\\", "").replace('"', "")
        has = f'appliance_build_info{{{of_job},version="{version}"}}'
        minutes = max(1, round(60 * hours))
        had = self.instances(f"last_over_time({has}[{minutes + 60}m])")
        running = self.instances(has)
        unwell = {
            **dict.fromkeys(had & self.instances(f"up{{{of_job}}} == 0"), "it does not answer"),
            **dict.fromkeys(running & self.instances(f"appliance_ready{{{of_job}}} == 0"), "it is not ready"),
            **dict.fromkeys(
                running & self.instances(f"changes(process_start_time_seconds{{{of_job}}}[{minutes}m]) > 3"),
                "it restarts again and again",
            ),
        }
        for labels in self.query(f'appliance_finding{{{of_job},severity="critical"}} == 1'):
            if labels.get("instance") in running:
                unwell[labels["instance"]] = labels.get("code", "critical")
        undone = f'appliance_finding{{{of_job},code="update_undone"}} == 1'
        return Fleet(
            devices=self.instances(f"up{{{of_job}}}"),
            running=running,
            settled=running & self.instances(f"{has} offset {minutes}m"),
            unwell=unwell,
            went_back=self.instances(undone) - self.instances(undone, offer.signed_s),
        )

    def instances(self, query: str, at_s: float | None = None) -> frozenset[str]:
        """The devices that a query finds. Raises WavesError."""
        return frozenset(labels["instance"] for labels in self.query(query, at_s) if "instance" in labels)

    def query(self, query: str, at_s: float | None = None) -> list[dict[str, str]]:
        """The labels of each series that a query finds. `at_s`: when, since 1970; None: now. Raises WavesError."""
        fields = {"query": query} | ({"time": str(at_s)} if at_s is not None else {})
        answer = self._ask(f"{self._url}/api/v1/query?{urllib.parse.urlencode(fields)}")
        try:
            if answer["status"] != "success":
                raise WavesError(f"Prometheus refuses {query}: {answer.get('error')}")
            return [{str(key): str(value) for key, value in one["metric"].items()} for one in answer["data"]["result"]]
        except (KeyError, TypeError, AttributeError):
            raise WavesError(f"{self._url} does not answer like Prometheus. Check the address") from None

    def _ask(self, url: str) -> Any:
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self._token}"} if self._token else {})
        try:
            context = ssl.create_default_context() if url.startswith("https:") else None
            try:
                with urllib.request.urlopen(request, timeout=_TIMEOUT_S, context=context) as response:
                    return json.loads(response.read(_MOST_BYTES))
            except urllib.error.HTTPError as error:
                with error:
                    text = error.read(300).decode("utf-8", "replace")
                raise WavesError(f"{self._url} answered {error.code}: {text}") from None
        except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
            raise WavesError(f"{self._url} cannot be read: {error}. Check that Prometheus runs there") from None
