"""The results for a person (a table and a summary) and for programs (JSON)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from appliance.device.profile import DeviceProfile, Rung
from appliance.durations import in_words

_USABLE = 0.9
"""Fraction of the frame rate that cameras can use; the service assigns no more (USE in flow/shares.py)."""
_CAMERA_FPS = 5.0
"""Enough for a camera that watches people and cars."""
_HOT_AFTER_S = 600.0
"""A board with a heat sink reaches a stable temperature after about ten minutes."""
_LAST_MINUTES = 5
"""Minutes at the end of a soak whose mean is the lasting frame rate."""
_BUSY_PERCENT = 10.0


@dataclass(frozen=True, slots=True)
class Minute:
    """One minute of a soak. `at_s`: its end, relative to the start of the soak."""

    at_s: float
    fps: float
    temp_c: float | None
    mhz: float | None = None
    throttled: bool | None = None
    others_percent: float = 0.0


@dataclass(frozen=True, slots=True)
class BenchReport:
    """All results. `profiles`: the configured model's first. `usual_side`: the one that the service uses, px."""

    profiles: tuple[DeviceProfile, ...]
    usual_side: int
    soak: tuple[Minute, ...] = ()

    @property
    def usual(self) -> Rung:
        rung = self.profiles[0].cost(self.usual_side)
        assert rung is not None  # a plan has at least one side
        return rung

    @property
    def lasting_fps(self) -> float:
        """The frame rate at the usual size, after the soak if there was one."""
        if not self.soak:
            return self.usual.fps
        last = self.soak[-_LAST_MINUTES:]
        return self.usual.fps * sum(minute.fps for minute in last) / len(last) / self.profiles[0].rungs[0].fps


def cameras(fps: float) -> tuple[int, float]:
    """How many cameras the device can serve, and their frame rate: 5 fps, or less for a single camera."""
    usable = fps * _USABLE
    count = math.floor(usable / _CAMERA_FPS + 1e-9)
    return (count, _CAMERA_FPS) if count else (1, math.floor(usable * 100) / 100)


def summary(report: BenchReport) -> str:
    """The result in one line."""
    count, fps = cameras(report.lasting_fps)
    capacity = f"{count} camera{'s' * (count != 1)} at {fps:g} fps"
    if not report.soak:
        return f"{capacity}, cold. To measure when hot: --soak 30m"
    if report.soak[-1].at_s < _HOT_AFTER_S:
        return f"{capacity}, after {in_words(report.soak[-1].at_s)} at full load. To measure when hot: --soak 30m"
    return f"{capacity}, hot"


def table(report: BenchReport) -> str:
    """A line per input size; * marks the one that the service uses."""
    return "\n".join([*_lines(report), *(f"! {note}" for note in notes(report)), "", summary(report)])


def notes(report: BenchReport) -> Iterator[str]:
    """Conditions that make the results worse than they could be."""
    rungs = [rung for profile in report.profiles for rung in profile.rungs]
    measurements: list[Rung | Minute] = [*rungs, *report.soak]
    others_percent = max(one.others_percent for one in measurements)
    if others_percent >= _BUSY_PERCENT:
        yield (
            f"Other programs used up to {others_percent:.0f} % of the CPUs, so the results are too low. "
            "Stop them, and the service, and measure again."
        )
    if any(one.throttled for one in measurements):
        yield "The chip was throttled: improve the cooling, or use a stronger power supply."
    clocks = [one.mhz for one in measurements if one.mhz is not None]
    if clocks and min(clocks) < 0.9 * max(clocks):
        yield f"The chip's clock dropped from {max(clocks):.0f} to {min(clocks):.0f} MHz."


def to_json(report: BenchReport) -> bytes:
    """All results as JSON."""
    count, fps = cameras(report.lasting_fps)
    content = {
        "profiles": report.profiles,
        "usual_side": report.usual_side,
        "soak": report.soak,
        "cameras": {"count": count, "fps": fps, "text": summary(report)},
        "notes": list(notes(report)),
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n"


def _lines(report: BenchReport) -> Iterator[str]:
    for profile in report.profiles:
        subject = profile.subject
        yield f"{subject.model}, {profile.precision}, {subject.engine}"
        yield f"{subject.machine}; {profile.measured_at}"
        yield "  input       ms/frame     fps  CPU ms  MB more  MB total   °C    MHz"
        for rung in profile.rungs:
            mark = "*" if profile is report.profiles[0] and rung is report.usual else " "
            size = f"{rung.size.width}x{rung.size.height}"
            yield (
                f"{mark} {size:<10} {rung.frame_ms:9.1f} {rung.fps:7.1f} {rung.cpu_ms:7.1f} "
                f"{rung.added_bytes / 1e6:8.0f} {rung.resident_bytes / 1e6:9.0f} "
                f"{_or_unknown(rung.temp_c):>4} {_or_unknown(rung.mhz):>6}"
            )
        yield ""
    if report.soak:
        first, last = report.soak[0], report.soak[-1]
        yield f"{in_words(last.at_s)} at full load: {first.fps:.1f} fps at the start, {last.fps:.1f} fps at the end"


def _or_unknown(figure: float | None) -> str:
    return "?" if figure is None else f"{figure:.0f}"
