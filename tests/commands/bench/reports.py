"""Builders of benchmark reports."""

from __future__ import annotations

from typing import Any

from appliance.commands.bench.report import BenchReport, Minute
from appliance.device.profile import DeviceProfile, Rung, Subject
from appliance.values import Size


def rung(side: int, fps: float, **others: Any) -> Rung:
    return Rung(side, Size(side, side // 2), 1500 / fps, 1000 / fps, 1900 / fps, fps, 50_000_000, 240_000_000, **others)


def profile(name: str, *rungs: Rung) -> DeviceProfile:
    subject = Subject("Board <1> & co, 4 CPUs", name, "openvino 2026.4.1 on CPU")
    return DeviceProfile(subject, "f32", "2026-01-02T03:04:05+00:00", rungs)


def report(*profiles: DeviceProfile, side: int = 640, soak: tuple[Minute, ...] = ()) -> BenchReport:
    return BenchReport(profiles or (profile("yolo11n", rung(640, 40.0), rung(320, 130.0)),), side, soak)


def minutes(*fps: float, temp_c: float | None = 60.0, **others: Any) -> tuple[Minute, ...]:
    return tuple(Minute(60.0 * (number + 1), one, temp_c, **others) for number, one in enumerate(fps))
