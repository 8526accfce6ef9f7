"""`make site-test`: run all scenes, print what each has done to the cameras, and exit with 1 if one has failed."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import tempfile
from pathlib import Path

from tests.site.trial.cameras import cameras
from tests.site.trial.device import COST_S
from tests.site.trial.lab import Lab, lab
from tests.site.trial.scenes import HEAD, Stage, scenes
from tests.site.trial.wall import bus_scenes
from tests.web.requests import picture

NAMES = ("box1", "box2", "box3")
_FRAMES_PER_S = 30.0
"""Of all cameras together: two devices can still do it."""
_OFFERED = 1.5
"""Frames offered to the device with the fewest cameras, for each that its engine can do."""


async def trial(site: Lab, count: int, *, quick: bool) -> bool:
    fleet = cameras(count, count / _FRAMES_PER_S, [picture(seed) for seed in range(8)])
    tasks = [asyncio.create_task(one.run(site.url)) for one in fleet]
    stage = Stage(site, [one.record for one in fleet])
    try:
        while any(one.last() is None for one in stage.records):
            await asyncio.sleep(0.2)
            for task in tasks:
                if task.done():
                    task.result()
        where = "network namespaces" if site.namespaced else "loopback"
        print(f"{count} cameras, {stage.counts()} on each device, {where}, {sys.version.split()[0]}\n\n{HEAD}")
        seen = list(await scenes(stage, quick=quick))
        await bus_scenes(stage, site)
        ratio = await _goodput(stage)
        print(f"\ngoodput of three devices, relative to one: {ratio:.2f} (at least 2.8)")
        return all(one.passed for one in seen) and ratio >= 2.8
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _goodput(stage: Stage) -> float:
    """Results a second of three devices, relative to one. Each engine takes `COST_S` for a frame.

    Cameras are placed by a hash, so they send as often as the device with the fewest needs to be busy.
    """
    loop = asyncio.get_running_loop()
    fewest = min(stage.counts().values())
    for one in stage.records:
        one.interval_s = fewest * COST_S / _OFFERED
    await asyncio.sleep(5)
    three = await stage.goodput(15)
    for device in stage.site.devices[1:]:
        await loop.run_in_executor(None, device.control.drain)
    while any(stage.counts()[device.name] for device in stage.site.devices[1:]):
        await asyncio.sleep(0.5)
    await asyncio.sleep(5)
    return three / await stage.goodput(15)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cameras", type=int, default=30, help="number of cameras (default: 30)")
    parser.add_argument("--full", action="store_true", help="60 cameras, and more time for heat")
    parser.add_argument("--loopback", action="store_true", help="no network namespaces, as for users other than root")
    parser.add_argument("--keep", type=Path, help="write logs into this folder")
    arguments = parser.parse_args()
    logging.getLogger("appliance.camera").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="site-") as folder:
        namespaced = os.getuid() == 0 and not arguments.loopback
        place = arguments.keep or Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        with lab(place, NAMES, namespaced=namespaced) as site:
            count = 60 if arguments.full else arguments.cameras
            return 0 if asyncio.run(trial(site, count, quick=not arguments.full)) else 1


if __name__ == "__main__":
    sys.exit(main())
