"""1,000 devices and 50,000 cameras, in sites: messages, bytes and CPU of a device, and the storm after a power cut.

What one message, question and connection costs is measured first (`site_costs.py`); the rest is arithmetic, and a
simulation of each site that decides with the code of the devices. In the storm all power returns at once: devices boot
in 40 s (standard deviation 8 s), cameras in 15 to 75 s, and each tries to connect with Socket.IO's waits. The front
places it by its hash among the devices that are up, and it stays where it is until a device gives it away.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from appliance.site.exchange import AGAIN, AGAIN_EVERY_S, FINDINGS_EVERY_S, KEEP_S
from appliance.site.moves import MoveRules, MoveState, OtherDevice, Resident, Situation, decide_moves
from appliance.site.presence import EVERY_S
from appliance.site.repeats import MOST_KEPT
from tests.benchmarks.report import Row
from tests.benchmarks.site_costs import CAMERAS, Costs, measured

DEVICES = 1000
SITES_OF = (5, 20, 200)
_SCRAPE_S, _FRONTS = 15, 2
_WALL_FPS = 5
_SMALL_BOARD = 6.0
"""How much slower than this machine a small board may be."""
_SIMULATED_DEVICES = 200
"""Sites are alike and independent: this many devices are simulated for each size, 1,000 would only be slower."""
_LONGEST_S = 7200


@dataclass
class Storm:
    """What a power cut does to sites of one size."""

    fullest: float = 0.0
    """Cameras of the fullest device, relative to its share, before any has moved."""
    balanced_s: float = 0.0
    """When the last site was within 1.35 of its shares; from the return of the power."""
    most_moves: int = 0
    """Of one camera."""
    connects_in_1_s: int = 0
    """At one device."""
    last_connected_s: float = 0.0
    attempts: int = 0


@dataclass
class _Device:
    up_s: float
    residents: dict[str, float] = field(default_factory=dict)
    """Cameras, and since when they are here."""
    state: MoveState = field(default_factory=MoveState)
    connects: dict[int, int] = field(default_factory=dict)


def run(_: Path) -> list[Row]:
    costs = measured()
    print(costs)
    return [*_steady(costs), *_storms(costs)]


def _steady(costs: Costs) -> Iterator[Row]:
    for size in SITES_OF:
        heard_per_s = (size - 1) / EVERY_S
        bus_us = (
            heard_per_s * (costs.heard_us + costs.carried_us / 2) + (costs.presence_us + costs.carried_us / 2) / EVERY_S
        )
        asked_us = _FRONTS * costs.agent_check_us + costs.decide_us * size / 200 + costs.scrape_ms * 1000 / _SCRAPE_S
        used = (bus_us + asked_us) / 1e6 * _SMALL_BOARD
        detail = (
            f"{DEVICES // size} sites; a device hears {heard_per_s:.0f} messages/s, "
            f"{heard_per_s * costs.presence_bytes / 1000:.1f} kB/s; the bus of a site carries "
            f"{size * heard_per_s:.0f} messages/s, {size * heard_per_s * costs.presence_bytes / 1e6:.2f} MB/s"
        )
        yield Row(f"site of {size}: part of a small board's core, idle", used, 0.05, True, detail)
    results_per_s = CAMERAS * _WALL_FPS
    wall = results_per_s * (costs.received_us + costs.carried_us / 2) / 1e6 * _SMALL_BOARD
    detail = f"{results_per_s} results/s, {results_per_s * costs.result_bytes / 1e6:.2f} MB/s"
    yield Row(f"wall of {CAMERAS} cameras at {_WALL_FPS} fps: part of a core", wall, 0.05, True, detail)
    sent = results_per_s * (costs.wanted_us + costs.carried_us / 2) / 1e6 * _SMALL_BOARD
    unwanted = results_per_s * costs.unwanted_us / 1e6 * _SMALL_BOARD
    yield Row("the device whose cameras they are: part of a core", sent, 0.05, True, f"unwatched {unwanted:.5f}")
    burst, burst_s = min(results_per_s * KEEP_S, MOST_KEPT), MOST_KEPT * AGAIN_EVERY_S / AGAIN
    again = burst * (costs.repeated_us + costs.carried_us / 2) / 1e6 * _SMALL_BOARD
    detail = (
        f"{burst:.0f} results, {burst * costs.result_bytes / 1e6:.1f} MB, within {burst_s:.1f} s; "
        f"the last {burst / results_per_s:.0f} s of {results_per_s} results/s"
    )
    yield Row("one device sends again to that wall: seconds of a core", again, 5.0, True, detail)
    per_s = DEVICES / FINDINGS_EVERY_S
    detail = (
        f"{per_s:.0f} messages/s, {per_s * costs.findings_bytes / 1000:.1f} kB/s; presence {DEVICES / EVERY_S:.0f}/s"
    )
    yield Row(
        "hub: MB of the findings of a day, one a device", per_s * costs.findings_bytes * 0.0864, 5000, True, detail
    )
    detail = (
        f"{DEVICES * costs.series} series, {DEVICES * costs.scrape_bytes / _SCRAPE_S / 1e6:.1f} MB/s for one Prometheus"
    )
    yield Row("scrape: ms of a small board", costs.scrape_ms * _SMALL_BOARD, 100, True, detail)


def _storms(costs: Costs) -> Iterator[Row]:
    for size in (5, 20):
        for rules in (MoveRules(), MoveRules(fresh_s=0.0)):
            seen = Storm()
            for seed in range(max(1, _SIMULATED_DEVICES // size)):
                _storm(size, rules, random.Random(seed), seen)
            if rules.fresh_s:
                busiest = seen.connects_in_1_s * costs.connect_ms / 1000 * _SMALL_BOARD
                detail = (
                    f"{seen.connects_in_1_s} connections; all cameras connected after {seen.last_connected_s:.0f} s"
                )
                yield Row(f"storm, site of {size}: seconds of core in the worst second", busiest, 5.0, True, detail)
            detail = f"at first {seen.fullest:.1f} times its share; at most {seen.most_moves} moves of a camera"
            if rules.fresh_s:
                yield Row(f"storm, site of {size}: s to balance", seen.balanced_s, 600.0, True, detail)
            else:
                print(
                    f"storm, site of {size}, if each device waited for settle_s: balanced after {seen.balanced_s:.0f} s"
                )


def _storm(size: int, rules: MoveRules, chance: random.Random, seen: Storm) -> None:
    devices = [_Device(max(10.0, chance.gauss(40, 8))) for _ in range(size)]
    _connect(devices, chance, seen)
    seen.fullest = max(seen.fullest, max(len(one.residents) for one in devices) / CAMERAS)
    moves: dict[str, int] = {}
    now_s = 80.0
    while now_s < _LONGEST_S:
        if max(len(one.residents) for one in devices) <= CAMERAS * 1.35:
            break
        now_s += 1.0
        for device in devices:
            _move(device, devices, now_s, rules, moves)
    seen.balanced_s = max(seen.balanced_s, now_s)
    seen.most_moves = max(seen.most_moves, *moves.values(), 0)


def _connect(devices: list[_Device], chance: random.Random, seen: Storm) -> None:
    """Each camera's attempts until one device is up."""
    for number in range(CAMERAS * len(devices)):
        name, at_s, wait_s = f"camera {number}", chance.uniform(15, 75), 1.0
        while not (up := [one for one in devices if one.up_s <= at_s]):
            seen.attempts += 1
            at_s += wait_s * chance.uniform(0.5, 1.5)
            wait_s = min(5.0, wait_s * 2)
        device = max(up, key=lambda one: hashlib.blake2b(f"{name} {devices.index(one)}".encode()).digest())
        device.residents[name] = at_s
        second = int(at_s)
        device.connects[second] = device.connects.get(second, 0) + 1
        seen.last_connected_s = max(seen.last_connected_s, at_s)
    seen.connects_in_1_s = max(seen.connects_in_1_s, *(max(one.connects.values(), default=0) for one in devices))


def _move(device: _Device, devices: list[_Device], now_s: float, rules: MoveRules, moves: dict[str, int]) -> None:
    others = {
        str(number): OtherDevice(1.0, 24.0, len(one.residents))
        for number, one in enumerate(devices)
        if one is not device
    }
    residents = [Resident(name, 0, now_s - since_s) for name, since_s in device.residents.items()]
    situation = Situation(
        now_s=now_s, headroom=1.0, residents=residents, capacity=24.0, up_s=now_s - device.up_s, others=others
    )
    device.state, decided = decide_moves(device.state, situation, rules)
    for move in decided:
        assert move.to is not None
        del device.residents[move.camera]
        devices[int(move.to)].residents[move.camera] = now_s
        moves[move.camera] = moves.get(move.camera, 0) + 1
