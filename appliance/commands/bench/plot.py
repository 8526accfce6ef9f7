"""The results as an SVG chart: frame rate of each input size, and the course of a soak."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from appliance.commands.bench.report import BenchReport, Minute, notes, summary
from appliance.device.profile import Rung
from appliance.values import Size

_WIDTH = 900
_LEFT, _RIGHT = 130, 460
"""Where bars begin, and the space for the figures right of the longest one, px."""
_BAR, _GAP = 22, 12
_COLOURS = ("#1f6f8b", "#e08e45")
_INK, _FAINT, _RULE = "#1d2733", "#66727f", "#d9dee3"
_HOT = "#b3261e"


def svg(report: BenchReport) -> bytes:
    """Draw the chart, 900 px wide."""
    bars, end = _bars(report, 92)
    parts = [*_heading(report), *bars]
    if len(report.soak) > 1:
        parts += _soak(report.soak, end + 40)
        end += 260
    parts.append(_text(24, end + 34, summary(report), size=15, weight="bold"))
    for note in notes(report):
        end += 20
        parts.append(_text(24, end + 36, note, size=12, fill=_FAINT))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{end + 58}" '
        f'viewBox="0 0 {_WIDTH} {end + 58}" font-family="system-ui, DejaVu Sans, sans-serif" font-size="13">'
    )
    return "\n".join([head, '<rect width="100%" height="100%" fill="#fff"/>', *parts, "</svg>"]).encode() + b"\n"


def _heading(report: BenchReport) -> Iterator[str]:
    first = report.profiles[0]
    yield _text(24, 34, f"{first.subject.model} on {first.subject.machine}", size=18, weight="bold")
    yield _text(24, 56, f"Frames per second, JPEG (1280x720) to result; {first.subject.engine}; {first.measured_at}",
                fill=_FAINT)  # fmt: skip
    if len(report.profiles) > 1:
        for number, profile in enumerate(report.profiles):
            x = _LEFT + number * 180
            yield f'<rect x="{x}" y="69" width="12" height="12" rx="2" fill="{_COLOURS[number]}"/>'
            yield _text(x + 18, 80, profile.subject.model)


def _bars(report: BenchReport, top: int) -> tuple[list[str], int]:
    """A group of bars per input size with a bar per model, and their lower end, px from the top."""
    sizes: dict[Size, list[tuple[int, Rung]]] = {}
    for number, profile in enumerate(report.profiles):
        for rung in profile.rungs:
            sizes.setdefault(rung.size, []).append((number, rung))
    scale = (_WIDTH - _LEFT - _RIGHT) / max(rung.fps for group in sizes.values() for _, rung in group)
    parts, y = [], top
    for size, group in sizes.items():
        usual = report.usual.size == size
        label = f"{size.width}x{size.height}" + (" *" if usual else "")
        middle = y + len(group) * _BAR / 2 + 5
        parts.append(_text(_LEFT - 12, middle, label, anchor="end", weight="bold" if usual else "normal"))
        for number, rung in group:
            width = max(1.0, rung.fps * scale)
            parts.append(
                f'<rect x="{_LEFT}" y="{y + 1}" width="{width:.1f}" height="{_BAR - 3}" rx="2" '
                f'fill="{_COLOURS[number]}"/>'
            )
            parts.append(_text(_LEFT + width + 8, y + 15, f"{rung.fps:.1f} fps", weight="bold"))
            parts.append(_text(_WIDTH - _RIGHT + 96, y + 15, _details(rung), fill=_FAINT))
            y += _BAR
        y += _GAP
    parts.append(f'<line x1="{_LEFT}" y1="{top - 4}" x2="{_LEFT}" y2="{y - _GAP + 4}" stroke="{_INK}"/>')
    return parts, y


def _details(rung: Rung) -> str:
    details = [
        f"{rung.frame_ms:.1f} ms",
        f"CPU {rung.cpu_ms:.1f} ms",
        f"+{rung.added_bytes / 1e6:.0f} MB",
        "" if rung.temp_c is None else f"{rung.temp_c:.0f} °C",
        "throttled" if rung.throttled else "",
    ]
    return " · ".join(detail for detail in details if detail)


def _soak(minutes: Sequence[Minute], top: int) -> Iterator[str]:
    """Frame rate and temperature over time, each with its own axis from zero."""
    left, right, height = _LEFT, _WIDTH - 90, 170
    bottom, span_s = top + 24 + height, minutes[-1].at_s

    def line(points: Sequence[tuple[float, float]], most: float, colour: str) -> str:
        places = " ".join(
            f"{left + at_s / span_s * (right - left):.1f},{bottom - value / most * height:.1f}"
            for at_s, value in points
        )  # fmt: skip
        return f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="2.5" stroke-linejoin="round"/>'

    fps = [(minute.at_s, minute.fps) for minute in minutes]
    temps = [(minute.at_s, minute.temp_c) for minute in minutes if minute.temp_c is not None]
    most = _round_up(max(value for _, value in fps))
    yield _text(left, top + 4, f"{span_s / 60:.0f} min at full load", weight="bold")
    for part in (0, 0.5, 1):
        y = bottom - part * height
        yield f'<line x1="{left}" y1="{y}" x2="{right}" y2="{y}" stroke="{_RULE}"/>'
        yield _text(left - 12, y + 4, f"{most * part:g} fps", fill=_COLOURS[0], anchor="end")
        if temps:
            yield _text(right + 12, y + 4, f"{100 * part:g} °C", fill=_HOT)
    yield line(fps, most, _COLOURS[0])
    if len(temps) > 1:
        yield line(temps, 100.0, _HOT)
    for part in (0, 0.5, 1):
        yield _text(left + part * (right - left), bottom + 20, f"{span_s * part / 60:.3g} min", fill=_FAINT,
                    anchor="middle")  # fmt: skip


def _round_up(value: float) -> float:
    """The next of 1, 2, 3, 4, 5, 6, 8, 10 times a power of ten."""
    unit: float = 10.0 ** math.floor(math.log10(value))
    return next(step * unit for step in (1, 2, 3, 4, 5, 6, 8, 10) if step * unit >= value * (1 - 1e-9))


def _text(
    x: float, y: float, words: str, *, size: int = 13, weight: str = "normal", fill: str = _INK, anchor: str = "start"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" fill="{fill}" '
        f'text-anchor="{anchor}">{escape(words)}</text>'
    )
