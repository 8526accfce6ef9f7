"""SVG plots of temperature and throttle level for one board and weather, with all controllers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from tests.benchmarks.governor.boards import Board
from tests.benchmarks.governor.simulate import Run
from tests.benchmarks.governor.weather import SECONDS, Weather

_WIDTH, _LEFT, _RIGHT = 760, 60, 120
_PANELS = (("chip, °C", 40, 190), ("value of frames", 260, 90), ("throttle level", 380, 70))
"""Title, top and height of each panel, px."""
_COLOURS = {"none": "#b3261e", "step_wise": "#c07a00", "oracle": "#777777", "ours": "#1a5fb4"}
_EVERY_S = 20


def svg(board: Board, weather: Weather, runs: Mapping[str, Run]) -> str:
    """Draw the plot; air temperature is dotted, target and throttling temperature are lines."""
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + _RIGHT}" height="490" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{_LEFT}" y="22" font-size="15">{escape(board.name)}, {escape(weather.name)}</text>',
    ]
    shown = {name: runs[name] for name in _COLOURS if name in runs}
    temps = [temp for run in shown.values() for temp in run.temps_c]
    air = [weather.air_c(float(second)) for second in range(SECONDS)]
    low, high = min(*temps, *air) - 2, max(*temps, board.throttle_c) + 2
    _, top, height = _PANELS[0]
    for level, label in ((board.throttle_c, "throttles"), (board.target_c, "target")):
        y = top + height * (high - level) / (high - low)
        body.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_LEFT + _WIDTH}" y2="{y:.1f}" stroke="#bbb"/>')
        body.append(f'<text x="{_LEFT + _WIDTH + 6}" y="{y + 4:.1f}" fill="#555">{label} {level:g} °C</text>')
    body.append(_line(air, 0, low, high, "#999", ' stroke-dasharray="2 3"'))
    for number, (name, run) in enumerate(shown.items()):
        colour = _COLOURS[name]
        body.append(_line(run.temps_c, 0, low, high, colour))
        body.append(_line(run.values, 1, 0.0, 1.02, colour))
        body.append(f'<text x="{_LEFT + 260 + number * 100}" y="22" fill="{colour}">{name} {run.value:.2f}</text>')
    states = [float(state) for state in runs["ours"].states]
    body.append(_line(states, 2, 0.0, max(*states, 1.0), _COLOURS["ours"]))
    for (title, top, height), (bottom, ceiling) in zip(
        _PANELS, ((low, high), (0.0, 1.0), (0.0, max(*states, 1.0))), strict=True
    ):
        body.append(f'<text x="{_LEFT}" y="{top - 5}" fill="#333">{title}</text>')
        body.append(f'<text x="{_LEFT - 6}" y="{top + 10}" text-anchor="end" fill="#555">{ceiling:.0f}</text>')
        body.append(f'<text x="{_LEFT - 6}" y="{top + height}" text-anchor="end" fill="#555">{bottom:.0f}</text>')
        body.append(f'<rect x="{_LEFT}" y="{top}" width="{_WIDTH}" height="{height}" fill="none" stroke="#ddd"/>')
    for hour in range(SECONDS // 3600 + 1):
        x = _LEFT + _WIDTH * hour * 3600 / SECONDS
        body.append(f'<text x="{x:.0f}" y="470" text-anchor="middle" fill="#555">{hour} h</text>')
    return "\n".join([*body, "</svg>"]) + "\n"


def _line(values: Sequence[float], panel: int, low: float, high: float, colour: str, extra: str = "") -> str:
    _, top, height = _PANELS[panel]
    points = " ".join(
        f"{_LEFT + _WIDTH * second / SECONDS:.1f},{top + height * (high - values[second]) / (high - low):.1f}"
        for second in range(0, len(values), _EVERY_S)
    )
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.3"{extra}/>'
