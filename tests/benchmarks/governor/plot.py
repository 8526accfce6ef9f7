"""SVG plots of one case: temperature, duty and input size, with the governor and its rivals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from tests.benchmarks.governor.days import Day
from tests.benchmarks.governor.draws import SECONDS, Case

_WIDTH, _LEFT, _RIGHT = 760, 60, 130
_PANELS = (("chip, °C", 45, 190), ("value of frames", 265, 90), ("duty", 385, 70), ("size, px", 485, 50))
"""Title, top and height of each panel, px."""
_COLOURS = {"none": "#b3261e", "PI": "#c07a00", "oracle": "#777777", "ours": "#1a5fb4"}
_EVERY_S = 20


def svg(case: Case, days: Mapping[str, Day]) -> str:
    """Draw the plot; air temperature is dotted, the throttling temperature is a line."""
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + _RIGHT}" height="570" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{_LEFT}" y="22" font-size="15">{escape(case.name)}</text>',
    ]
    shown = {name: days[name] for name in _COLOURS if name in days}
    temps = [temp for day in shown.values() for temp in day.temps_c]
    air = [case.air_at(float(second)) for second in range(SECONDS)]
    low, high = min(*temps, *air) - 2, max(*temps, case.board.throttle_c) + 2
    ranges = ((low, high), (0.0, 1.02), (0.0, 1.02), (200.0, 660.0))
    _, top, height = _PANELS[0]
    y = top + height * (high - case.board.throttle_c) / (high - low)
    body.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_LEFT + _WIDTH}" y2="{y:.1f}" stroke="#bbb"/>')
    body.append(
        f'<text x="{_LEFT + _WIDTH + 6}" y="{y + 4:.1f}" fill="#555">throttles {case.board.throttle_c:.0f} °C</text>'
    )
    body.append(_line(air, 0, ranges[0], "#999", ' stroke-dasharray="2 3"'))
    for number, (name, day) in enumerate(shown.items()):
        colour = _COLOURS[name]
        body.append(_line(day.temps_c, 0, ranges[0], colour))
        body.append(_line(_means(day.values), 1, ranges[1], colour))
        body.append(f'<text x="{_LEFT + 330 + number * 110}" y="22" fill="{colour}">{name} {day.value:.2f}</text>')
    ours = days["ours"]
    body.append(_line(ours.duties, 2, ranges[2], _COLOURS["ours"]))
    body.append(_line([float(side) for side in ours.sides], 3, ranges[3], _COLOURS["ours"]))
    for (title, top, height), (bottom, ceiling) in zip(_PANELS, ranges, strict=True):
        body.append(f'<text x="{_LEFT}" y="{top - 5}" fill="#333">{title}</text>')
        body.append(f'<text x="{_LEFT - 6}" y="{top + 10}" text-anchor="end" fill="#555">{ceiling:.0f}</text>')
        body.append(f'<text x="{_LEFT - 6}" y="{top + height}" text-anchor="end" fill="#555">{bottom:.0f}</text>')
        body.append(f'<rect x="{_LEFT}" y="{top}" width="{_WIDTH}" height="{height}" fill="none" stroke="#ddd"/>')
    for half in range(SECONDS // 1800 + 1):
        x = _LEFT + _WIDTH * half * 1800 / SECONDS
        body.append(f'<text x="{x:.0f}" y="555" text-anchor="middle" fill="#555">{half / 2:g} h</text>')
    return "\n".join([*body, "</svg>"]) + "\n"


def _means(values: Sequence[float]) -> list[float]:
    """Means over a minute: bursts of frames would hide everything else."""
    return [sum(values[max(0, at - 59) : at + 1]) / (at + 1 - max(0, at - 59)) for at in range(len(values))]


def _line(values: Sequence[float], panel: int, span: tuple[float, float], colour: str, extra: str = "") -> str:
    _, top, height = _PANELS[panel]
    low, high = span
    points = " ".join(
        f"{_LEFT + _WIDTH * second / SECONDS:.1f},{top + height * (high - values[second]) / (high - low):.1f}"
        for second in range(0, len(values), _EVERY_S)
    )
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.3"{extra}/>'
