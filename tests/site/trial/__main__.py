"""`make site-test`: run all scenes, print what each has done to cameras and viewers, and exit with 1 if one has failed.

The devices' engine is a stand-in that sleeps; everything else is real: the service, HAProxy, NATS, the agent, and
python-socketio over websockets and by polling. Each device has a quota of CPU time for all its programs.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.site.trial.cameras import cameras
from tests.site.trial.device import COST_S, SLOW_MS
from tests.site.trial.lab import Lab, lab
from tests.site.trial.scenes import Program, play
from tests.site.trial.stage import HEAD, Stage
from tests.site.trial.wall import Wall
from tests.web.requests import picture

NAMES = ("box1", "box2", "box3")
_FRAMES_PER_S = 20.0
"""Of all cameras together: any device can do it, since two devices do not get halves."""
_OFFERED = 1.5
"""Frames offered to the device with the fewest cameras, for each that its engine can do."""
_MOST_MOVES = 4
_GOODPUT = 2.8


async def trial(site: Lab, count: int, program: Program) -> bool:
    fleet = cameras(count, count / _FRAMES_PER_S, [picture(seed) for seed in range(8)])
    walls = [Wall(device) for device in site.devices]
    tasks = [asyncio.create_task(one.run(site.url)) for one in fleet]
    stage = Stage(site, [one.record for one in fleet], walls)
    begun = time.monotonic()
    try:
        for wall in walls:
            await wall.connect()
        while any(one.last() is None for one in stage.records):
            await asyncio.sleep(0.2)
            for task in tasks:
                if task.done():
                    task.result()
        where = "network namespaces" if site.namespaced else "loopback"
        print(f"{count} cameras, {stage.counts()} on each device, {where}, {sys.version.split()[0]}\n\n{HEAD}")
        await play(stage, program)
        outcomes = [all(one.passed for one in stage.seen)]
        if not program.only:
            outcomes.append(_at_least("goodput of three devices, relative to one", await _goodput(stage), _GOODPUT))
        print(f"\n{time.monotonic() - begun:.0f} s, {sum(len(one.frames) for one in stage.records)} frames")
        return all([*outcomes, _published(site), _moves(site)])
    finally:
        for wall in walls:
            await wall.close()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _goodput(stage: Stage) -> float:
    """Results a second of three devices, relative to one. Each engine takes `COST_S` for a frame.

    Cameras are placed by a hash, so they send as often as the device with the fewest needs to be busy.
    """
    await stage.calm()
    fewest = max(1, min(stage.counts().values()))
    for one in stage.records:
        one.interval_s = fewest * COST_S / _OFFERED
    await asyncio.sleep(5)
    three = await stage.goodput(15)
    for device in stage.site.devices[1:]:
        await stage.blocking(device.control.drain)
    while any(stage.counts()[device.name] for device in stage.site.devices[1:]):
        await asyncio.sleep(0.5)
    await asyncio.sleep(5)
    return three / await stage.goodput(15)


def _at_least(what: str, value: float, least: float) -> bool:
    print(f"{what}: {value:.2f} (at least {least}) {'ok' if value >= least else 'FAILED'}")
    return value >= least


def _published(site: Lab) -> bool:
    """Whether nobody waited for the bus: publishing is not slow more often than the same work without it."""
    told = [one for device in site.devices for one in device.published()]
    keys = ("calls", "cpu_slow", "control_cpu_slow", "slow", "control_slow")
    calls, worked, control_worked, lasted, control_lasted = (sum(int(one[key]) for one in told) for key in keys)
    cpu_ms, wall_ms = (max((one[key] for one in told), default=0.0) for key in ("cpu_ms", "wall_ms"))
    passed = calls > 0 and worked <= 2 * control_worked + 5 and lasted <= 2 * control_lasted + 5
    print(
        f"publishing, {calls} times, above {SLOW_MS:.0f} ms: {worked} of work, and {control_worked} of the same "
        f"without the bus (most {cpu_ms:.1f} ms); {lasted} and {control_lasted} by the clock (most {wall_ms:.1f}) "
        f"{'ok' if passed else 'FAILED'}"
    )
    return passed


def _moves(site: Lab) -> bool:
    """Whether heat and balance moved no camera too often."""
    by_reason, by_camera = Counter[str](), Counter[str]()
    for device in site.devices:
        for (camera, reason), times in device.moves().items():
            by_reason[reason] += times
            by_camera[camera] += times * (reason in ("hot", "balance"))
    most = max(by_camera.values(), default=0)
    passed = most <= _MOST_MOVES
    print(f"moves {dict(by_reason)}; of one camera by heat and balance: {most} (at most {_MOST_MOVES}) "
          f"{'ok' if passed else 'FAILED'}")  # fmt: skip
    return passed


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cameras", type=int, default=30, help="number of cameras (default: 30)")
    parser.add_argument("--full", action="store_true", help="60 cameras, 15 minutes, and the default site.settle_s")
    parser.add_argument(
        "--only", default="", metavar="WORD,WORD", help="scenes with such a word in their name; no goodput"
    )
    parser.add_argument("--minutes", type=float, help="repeat all scenes for this time (default: once; --full: 14)")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="begin with the roles of round N")
    parser.add_argument("--cores", type=float, default=0.35, help="CPU time of a device in cores (default: 0.35)")
    parser.add_argument("--loopback", action="store_true", help="no network namespaces, as for users other than root")
    parser.add_argument("--keep", type=Path, help="write logs into this folder")
    arguments = parser.parse_args()
    logging.getLogger("appliance.camera").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="site-") as folder:
        namespaced = os.getuid() == 0 and not arguments.loopback
        place = arguments.keep or Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        settle_s = 900.0 if arguments.full else 60.0
        with lab(place, NAMES, namespaced=namespaced, cores=arguments.cores, settle_s=settle_s) as site:
            if site.quotas.problem is not None:
                print(f"SKIPPED: CPU quotas ({site.quotas.problem})")
            count = 60 if arguments.full else arguments.cameras
            minutes = arguments.minutes if arguments.minutes is not None else 14.0 * arguments.full
            program = Program(minutes, arguments.only, arguments.first)
            passed = asyncio.run(trial(site, count, program))
            for name in NAMES:
                print(f"  {name}: quota of {arguments.cores} cores; {site.quotas.throttled(name)}")
            return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
