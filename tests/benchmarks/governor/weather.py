"""Weather for the simulated boards: air temperature and fan state, second by second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import pi, sin

HOURS = 3
SECONDS = HOURS * 3600


@dataclass(frozen=True, slots=True)
class Weather:
    """Three hours of weather."""

    name: str
    air_c: Callable[[float], float]
    """Air temperature by second."""
    steady: bool
    blocked: tuple[float, float] = (0.0, 0.0)
    """Start and end of the time with a blocked fan, s."""
    heat_s: tuple[float, float] | None = None
    """Start and end of heating that is not caused by load, s."""


def _sun(at_s: float) -> float:
    """A housing in the sun: from 25 to 50 °C in 30 minutes; after two hours, shade and 25 °C within 5 minutes."""
    if at_s < 1800:
        return 25.0
    if at_s < 3600:
        return 25.0 + 25.0 * (at_s - 1800) / 1800
    return 50.0 if at_s < 7200 else max(25.0, 50.0 - 25.0 * (at_s - 7200) / 300)


WEATHERS = (
    Weather("steady 25 °C", lambda at_s: 25.0, True),
    Weather("steady 40 °C", lambda at_s: 40.0, True),
    Weather("noon sun", _sun, False, heat_s=(1800.0, 7500.0)),
    Weather("blocked fan", lambda at_s: 25.0, False, (1800.0, 5400.0), heat_s=(1800.0, 5400.0)),
    Weather("night", lambda at_s: 20.0 + 15.0 * sin(pi / 2 + pi * at_s / SECONDS), False),
)
