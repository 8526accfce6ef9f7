"""What was measured, for a person (a table, a last line) and for programs (JSON)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from appliance.device.profile import Profile, Rung
from appliance.durations import in_words

_PART = 0.9
"""Of the frames a second that are promised to cameras; the service gives away no more (USE in flow/shares.py)."""
_WANTED_FPS = 5.0
"""A camera that watches people and cars needs about so many."""
_HOT_AFTER_S = 600.0
"""A board with a heat sink takes about ten minutes until it gets no warmer."""
_SETTLED = 5
"""Minutes at the end of a soak whose mean is what remains."""
_BUSY_PERCENT = 10.0


@dataclass(frozen=True, slots=True)
class Minute:
    """One minute of a soak; `at_s`: its end, since the beginning."""

    at_s: float
    fps: float
    temp_c: float | None
    mhz: float | None = None
    throttled: bool | None = None
    others_percent: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """The configured model's profile first; `usual_side`: the one that the service uses, px."""

    profiles: tuple[Profile, ...]
    usual_side: int
    soak: tuple[Minute, ...] = ()

    @property
    def usual(self) -> Rung:
        rung = self.profiles[0].cost(self.usual_side)
        assert rung is not None  # a plan has a side at least
        return rung

    @property
    def lasting_fps(self) -> float:
        """Of the usual rung, as it is after the soak if there was one."""
        if not self.soak:
            return self.usual.fps
        last = self.soak[-_SETTLED:]
        return self.usual.fps * sum(minute.fps for minute in last) / len(last) / self.profiles[0].rungs[0].fps


def cameras(fps: float) -> tuple[int, float]:
    """How many cameras such a box serves, and how many frames a second each: five, or one camera with what there is."""
    spare = fps * _PART
    count = math.floor(spare / _WANTED_FPS + 1e-9)
    return (count, _WANTED_FPS) if count else (1, math.floor(spare * 100) / 100)


def last_line(report: Report) -> str:
    """What it all comes to."""
    count, fps = cameras(report.lasting_fps)
    promise = f"{count} camera{'s' * (count != 1)} at {fps:g} fps"
    if not report.soak:
        return f"{promise}, cold; --soak 30m tells what remains when it is hot"
    if report.soak[-1].at_s < _HOT_AFTER_S:
        return (
            f"{promise}, after {in_words(report.soak[-1].at_s)} of work; --soak 30m tells what remains when it is hot"
        )
    return f"{promise}, hot"


def table(report: Report) -> str:
    """Each rung a line; the one that the service uses has a star."""
    return "\n".join([*_lines(report), *(f"! {note}" for note in notes(report)), "", last_line(report)])


def notes(report: Report) -> Iterator[str]:
    """What makes the figures less than they seem."""
    rungs = [rung for profile in report.profiles for rung in profile.rungs]
    looks: list[Rung | Minute] = [*rungs, *report.soak]
    others_percent = max(look.others_percent for look in looks)
    if others_percent >= _BUSY_PERCENT:
        yield (
            f"Something else used up to {others_percent:.0f} % of the CPUs meanwhile: alone, the box does more. "
            "Stop the service first."
        )
    if any(look.throttled for look in looks):
        yield "The chip slowed itself down meanwhile: cool it better, or see whether its power supply is strong enough."
    clocks = [look.mhz for look in looks if look.mhz is not None]
    if clocks and min(clocks) < 0.9 * max(clocks):
        yield f"The chip's frequency went from {max(clocks):.0f} down to {min(clocks):.0f} MHz."


def to_json(report: Report) -> bytes:
    """All of it."""
    count, fps = cameras(report.lasting_fps)
    content = {
        "profiles": report.profiles,
        "usual_side": report.usual_side,
        "soak": report.soak,
        "cameras": {"count": count, "fps": fps, "text": last_line(report)},
        "notes": list(notes(report)),
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n"


def _lines(report: Report) -> Iterator[str]:
    for profile in report.profiles:
        subject = profile.subject
        yield f"{subject.model}, {profile.precision}, {subject.engine}"
        yield f"{subject.machine}; {profile.measured_at}"
        yield "  input       ms/frame     fps  CPU ms  MB more MB in all   °C    MHz"
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
        yield f"after {in_words(last.at_s)} of full work: {first.fps:.1f} fps at first, {last.fps:.1f} at the end"


def _or_unknown(figure: float | None) -> str:
    return "?" if figure is None else f"{figure:.0f}"
