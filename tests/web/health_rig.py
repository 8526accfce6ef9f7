"""A health service with a fake engine and manual clocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from appliance.flow.cameras import CameraPolicy
from appliance.flow.tally import LATENCY_BOUNDS_S
from appliance.governor.service import Governor
from appliance.health import history_file
from appliance.health.canary import Canary
from appliance.health.facts import Thresholds
from appliance.health.history import History
from appliance.health.recorder import Recorder, Sample
from appliance.health.roster import Roster
from appliance.health.watch import Watch
from appliance.readings import (
    Board,
    CoolingDevice,
    Cpu,
    Memory,
    NetworkInterface,
    Power,
    Reading,
    Storage,
    System,
    Thermal,
    TripPoint,
    Zone,
)
from appliance.vitals.collect import Vitals
from appliance.web.report import of_snapshot
from tests.fakes import FakeClock
from tests.flow.detectors import FULL, Rig

WALL_S = 1_800_000_000.0

EVERYTHING = Reading(
    at_s=1000.0,
    thermal=Thermal(
        999.0, 61.5, 80.0, 110.0, (Zone("cpu-thermal", 61.5, (TripPoint("passive", 80.0, 5.0),)), Zone("gpu", None)),
        (CoolingDevice("pwm-fan", 2, 4),),
    ),
    power=Power(999.0, False, True, False, True, False, True, False, True, 3, {"VDD_IN": 4.2}, 15.0, "15W"),
    memory=Memory(999.0, 10**9, 8 * 10**9, 0, 10**8, 2 * 10**8, 10**8, 10**7, 10**9, 9 * 10**8, 0.3),
    cpu=Cpu(999.0, 43.0, 21.0, 2400.0, 2400.0, 1.2, 0.1, 11.0),
    storage=Storage(990.0, 10**10, 3 * 10**10, False, 10.0),
    system=System(990.0, 5000.0, True, (NetworkInterface("eth0", True, 100, 200, 0),)),
    unknown={"power.mode": "not a Jetson"},
)  # fmt: skip
"""A reading with every value."""


class SilentSensors:
    """Sensors without any value."""

    def read(self) -> Reading:
        return Reading(at_s=0.0)


class HealthRig:
    """`named`: the configured cameras."""

    def __init__(self, rig: Rig | None = None, named: Sequence[str] = (), canary: Canary | None = None) -> None:
        self.rig = rig or Rig(policies=dict.fromkeys(named, CameraPolicy()))
        self.clock, self.wall = self.rig.clock, FakeClock(WALL_S)
        detector = self.rig.detector
        self.governor = Governor(
            sensors=SilentSensors(), policy=None, full=FULL, apply=detector.apply, clock=self.clock
        )
        self.governor.reading = EVERYTHING

        recorder = Recorder(
            History(), latency_bounds_s=LATENCY_BOUNDS_S, clock=self.clock, wall_clock=self.wall
        )  # fmt: skip
        self.watch = Watch(history_file.load(None), recorder, clock=self.clock)
        self.recorder = recorder
        self.vitals = Vitals(
            detector=detector,
            pace=self.rig.pace,
            book=self.rig.book,
            governor=self.governor,
            canary=canary or Canary(ask=detector.ask, idle=lambda: True, classes=tuple, clock=self.clock),
            watch=self.watch,
            roster=Roster({}, now_s=self.clock(), forget_after_s=30 * 86_400),
            restarts=2,
            board=Board("Raspberry Pi 5 Model B Rev 1.0", "d04170", "10000000abcdef01"),
            thresholds=Thresholds(critical_temp_c=84.0, min_available_bytes=10**8),
            clock=self.clock,
            wall_clock=self.wall,
        )

    def report(self) -> dict[str, Any]:
        """The current payload of `/health`."""
        return of_snapshot(self.vitals.snapshot())

    def advance(self, seconds: int) -> Sample:
        """Advance the clock by seconds, with a sample in each; return the last one."""
        sample = self.vitals.sample()
        for _ in range(seconds):
            self.clock.pass_(1)
            self.wall.pass_(1)
            sample = self.vitals.sample()
            self.recorder.note(sample)
        return sample

    def codes(self) -> list[str]:
        return [finding.code for finding in self.vitals.findings()]
