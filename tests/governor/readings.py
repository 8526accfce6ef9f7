"""Readings, limits and a policy for the governor's tests."""

from __future__ import annotations

from appliance.governor.ladder import make_ladder
from appliance.governor.targets import Policy
from appliance.readings import Cpu, Memory, Power, Reading, Thermal
from appliance.values import Limits

FULL = Limits(640, 0.0, 8)
LADDER = make_ladder(FULL)
LAST = LADDER.last
POLICY = Policy(75.0, 84.0, 100_000_000, LADDER)
MB = 1_000_000


def reading(
    at_s: float,
    temp_c: float | None = 50.0,
    *,
    free_mb: int | None = 1000,
    use: float = 0.5,
    power: Power | None = None,
    passive_c: float | None = None,
    off_c: float | None = None,
) -> Reading:
    """Build one reading; `use`: CPU use, 0-1, all by the service."""
    return Reading(
        at_s,
        Thermal(at_s, temp_c, passive_c, off_c),
        power or Power(),
        Memory(at_s, None if free_mb is None else free_mb * MB),
        Cpu(at_s, use * 100, use * 100),
    )
