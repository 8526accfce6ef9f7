"""How much the box may do, decided from one reading: a pure function, and the ladder it walks.

Rules of this file:
- One cooling state is one rung: less resolution first, then a slower pace, at last nothing.
- At or above the target: one rung down the ladder, then a dwell, since heat answers late. At the critical point: the
  last rung at once.
- Up again only when it has been clearly cooler for a while, so that the box does not swing.
- A sensor that fell silent while the box was hot does not count as cool.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from appliance.readings import Reading
from appliance.values import Limits


@dataclass(frozen=True, slots=True)
class Policy:
    """The bounds to keep; temperatures in °C, times in s."""

    target_temp_c: float
    critical_temp_c: float
    min_available_bytes: int
    hysteresis_c: float = 5.0
    dwell_s: float = 10.0
    recover_s: float = 30.0


@dataclass(frozen=True, slots=True)
class State:
    """Where the governor stands; `cooling` 0 is full work."""

    cooling: int = 0
    since_s: float = float("-inf")
    cool_since_s: float | None = None
    transitions: int = 0
    reason: str = "normal"
    warm: bool = False
    """The last temperature that could be read was not clearly below the target."""


RUNGS = ((1.0, 0.0), (0.8, 0.0), (0.65, 0.0), (0.5, 0.0), (0.5, 1.0), (0.5, 3.0))
"""Part of the input's side and least interval (s) of each cooling state; after the last one nothing is admitted."""

MAX_STATE = len(RUNGS)
_STRIDE = 32


def decide(state: State, reading: Reading, policy: Policy, full: Limits) -> tuple[State, Limits]:
    """The next state and the limits that go with it; `full` are those of a cool box."""
    hot, reason = _pressure(reading, policy)
    now = reading.at_s
    if reading.thermal.soc_temp_c is not None:
        state = replace(state, warm=reading.thermal.soc_temp_c >= policy.target_temp_c - policy.hysteresis_c)
    if reading.thermal.soc_temp_c is not None and reading.thermal.soc_temp_c >= policy.critical_temp_c:
        state = replace(_move(state, MAX_STATE, now, "critical_temperature"), cool_since_s=None)
    elif hot:
        if now - state.since_s >= policy.dwell_s:
            state = _move(state, max(state.cooling, min(state.cooling + 1, MAX_STATE - 1)), now, reason)
        state = replace(state, cool_since_s=None)
    elif not state.warm:
        cool_since = state.cool_since_s if state.cool_since_s is not None else now
        state = replace(state, cool_since_s=cool_since)
        if state.cooling and now - max(cool_since, state.since_s) >= policy.recover_s:
            state = replace(_move(state, state.cooling - 1, now, state.reason), cool_since_s=now)
    else:
        state = replace(state, cool_since_s=None)
    return state, limits_of(state, full)


def limits_of(state: State, full: Limits) -> Limits:
    """What a cooling state allows."""
    next_side = _side(state.cooling + 1, full)
    if state.cooling == 0:
        return replace(full, reason="normal", next_side=next_side)
    _, interval_s = RUNGS[min(state.cooling, MAX_STATE - 1)]
    return Limits(
        max_side=_side(state.cooling, full),
        next_side=next_side,
        min_interval_s=max(full.min_interval_s, interval_s),
        max_in_flight=1 if state.cooling >= 3 else full.max_in_flight,
        admit=state.cooling < MAX_STATE,
        reason=state.reason,
    )


def _side(cooling: int, full: Limits) -> int:
    part, _ = RUNGS[min(cooling, MAX_STATE - 1)]
    return full.max_side if part == 1 else max(_STRIDE * 2, round(full.max_side * part / _STRIDE) * _STRIDE)


def _pressure(reading: Reading, policy: Policy) -> tuple[bool, str]:
    available = reading.memory.available_bytes
    if available is not None and available < policy.min_available_bytes:
        return True, "memory"
    if reading.thermal.soc_temp_c is not None and reading.thermal.soc_temp_c >= policy.target_temp_c:
        return True, "temperature"
    return False, "normal"


def _move(state: State, cooling: int, now_s: float, reason: str) -> State:
    if cooling == state.cooling:
        return state
    return State(cooling, now_s, None, state.transitions + 1, reason if cooling else "normal", state.warm)
