"""What to measure and for how long, from the options of the command line."""

from __future__ import annotations

from dataclasses import dataclass

from appliance import durations
from appliance.errors import ConfigError
from appliance.governor.ladder import smaller_sides

_TRAINED_SIDE = 640
"""The input side that nano models are trained at, px."""
LADDER = (_TRAINED_SIDE, *smaller_sides(_TRAINED_SIDE))
"""The longest input sides that the governor uses, px."""

_LONGEST_S = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure.

    `sides`: longest input sides, px, largest first. `seconds`: per side. `soak_s`: full load on the largest side
    afterwards; 0: none. `engines`: to measure in addition to the configured one.
    """

    sides: tuple[int, ...]
    seconds: float = 5.0
    soak_s: float = 0.0
    engines: tuple[str, ...] = ()


def make_plan(*, sides: str = "", seconds: str = "5", soak: str = "", usual_side: int = 640) -> Plan:
    """Parse the options. Without `sides`: the governor's, and the one that the service uses. Raises ConfigError."""
    chosen = _sides(sides) if sides else {*LADDER, usual_side}
    return Plan(tuple(sorted(chosen, reverse=True)), _seconds(seconds), _duration_s(soak) if soak else 0.0)


def _sides(text: str) -> set[int]:
    try:
        sides = {int(word) for word in text.split(",")}
    except ValueError:
        sides = set()
    if not sides or min(sides) < 64 or max(sides) > 2048:
        raise ConfigError(f"--sides {text}: must be numbers from 64 to 2048, for example --sides 640,416,256")
    return sides


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _LONGEST_S:
        raise ConfigError(f"--seconds {text}: must be a number above 0, for example --seconds 5")
    return seconds


def _duration_s(text: str) -> float:
    seconds = durations.parse(text) or 0.0
    if not 0 < seconds <= _LONGEST_S:
        raise ConfigError(f"--soak {text}: must be a duration of at most 7 days, for example --soak 30m")
    return seconds
