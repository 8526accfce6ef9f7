"""The governor's policy: a pure function from one reading to the next throttle level.

Rules of this file:
- Down means less work, the next higher throttle level; up means more work, the next lower level.
- Down: at the target temperature, unless the chip is already cooling; at once when clearly above the target; earlier
  when the heat model forecasts that the target is near. The model never delays a step down.
- Up: when the heat model forecasts that the next level can be sustained, or, without the model's consent, after a long
  time clearly below the target. Each step up that had to be reversed doubles this time and asks for 3 °C more of
  headroom in the forecast, which prevents oscillation. Each hour that a step up lasts clears one such failure.
- A throttled chip or an under-voltage causes a step down at any temperature.
- The critical temperature stops inference at once, even at a manually held level.
- A temperature sensor that stops responding causes caution. A machine that never had a sensor runs at full
  performance.
- At the same level, a hotter reading never allows more: forecasts use the model from before that reading.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from appliance.governor import memory
from appliance.governor.belief import Belief, believe
from appliance.governor.heat import Heat, learn
from appliance.governor.ladder import Ladder
from appliance.governor.memory import Shortage
from appliance.readings import Power, Reading
from appliance.values import Limits

_MARGIN_C = 3.0
"""Distance to the board's own passive trip point: the chip follows its load within seconds."""
_MIN_TARGET_C = 45.0
"""A trip point that implies a lower target is a firmware error."""
_URGENT_C = 2.0
_NEAR_C = 5.0
_AHEAD_S = 45.0
_SETTLED_S = 1200.0
_STALE_S = 10.0
"""A temperature older than this counts as unknown."""
_SILENT_S = 30.0
"""A sensor that is silent for longer counts as lost; shorter drop-outs are ignored."""
_FAILURE_S = 900.0
"""A step down this soon after a step up is a failure: the lower level was not sustainable."""
_EXPIRY_S = 3600.0
_MAX_FAILURES = 4
_BY_THE_BOARD = ("throttled", "under_voltage")


@dataclass(frozen=True, slots=True)
class Policy:
    """The limits to keep, and the ladder of throttle levels to keep them with; temperatures in °C, times in s."""

    target_temp_c: float
    critical_temp_c: float
    min_available_bytes: int
    ladder: Ladder
    hysteresis_c: float = 5.0
    dwell_s: float = 10.0
    """Shortest time between two steps down."""
    recover_s: float = 20.0
    """Shortest time before a step up that the model considers safe; three times as long after a step down."""
    patience_s: float = 300.0
    """Time clearly below the target before a step up without the model's consent; doubles with each failure."""
    lowest_clock_percent: int = 100
    """The lowest clock that may be asked for, in percent of the highest; 100: clocks are left alone."""


@dataclass(frozen=True, slots=True)
class HeldLevel:
    """A throttle level that was set manually, until a given time."""

    cooling: int
    until_s: float


@dataclass(frozen=True, slots=True)
class State:
    """The governor's state; `cooling` is the throttle level, 0 is full performance."""

    cooling: int = 0
    since_s: float = float("-inf")
    transitions: int = 0
    reason: str = "normal"
    blind: str | None = None
    """Why the temperature is unknown: `no_sensor` (there never was one), `silent` (it stopped responding), `stuck` (it
    ignores the load)."""
    hold: HeldLevel | None = None
    shortage: Shortage = field(default_factory=Shortage)
    belief: Belief = field(default_factory=Belief)
    heat: Heat = field(default_factory=Heat)
    temp_at_s: float | None = None
    """Time of the last known temperature."""
    cool_since_s: float | None = None
    """Start of the time clearly below the target."""
    raised_s: float | None = None
    """Time of the last step up; None: a step down has followed it."""
    failed: int = 0
    """Number of steps up that had to be reversed, minus those that expired."""
    throttle_events: int | None = None


def decide(state: State, reading: Reading, policy: Policy) -> tuple[State, Limits]:
    """Return the next state and its limits. `reading` is raw: one bad sample in it changes nothing."""
    now = reading.at_s
    belief, reading = believe(state.belief, reading)
    state = replace(state, belief=belief)
    temp = _temperature(reading)
    known = state.heat
    if temp is not None:
        own, total = _use(reading, policy.ladder.steps[state.cooling].heat)
        state = replace(state, heat=learn(known, now, temp, total, own), temp_at_s=now, blind=None)
    throttled = _throttled(reading.power, state.throttle_events) or ("throttled" if reading.doubts.slowed else None)
    state = replace(
        state,
        throttle_events=reading.power.throttle_events,
        shortage=memory.next_shortage(state.shortage, reading.memory, now, policy.min_available_bytes),
    )
    if state.hold is not None and now >= state.hold.until_s:
        state = release(state)
    if temp is not None and belief.confirmed and temp >= critical_c(reading, policy):
        state = replace(_go_down(state, policy.ladder.last, now), reason="critical_temperature")
    elif state.hold is not None:
        state = _move(state, min(state.hold.cooling, policy.ladder.last), now, "held")
    elif reading.doubts.stuck_temp_c is not None:
        state = _decide_disbelieving(state, now, policy, throttled)
    elif temp is None:
        state = _decide_blind(state, now, policy, throttled)
    else:
        state = _decide_by_temperature(state, known, temp, target_c(reading, policy), now, policy, throttled)
    return state, limits_of(state, policy.ladder)


def release(state: State) -> State:
    """Return the state without its manual hold."""
    return replace(state, hold=None, reason="recovering" if state.reason == "held" else state.reason)


def limits_of(state: State, ladder: Ladder) -> Limits:
    """Return the limits of a state."""
    limits = memory.within(ladder.steps[state.cooling].limits, state.shortage.stage)
    short = state.shortage.stage > 0 and (state.cooling == 0 or state.shortage.stage == memory.FRAMES)
    return replace(limits, reason="memory" if short else state.reason)


def target_c(reading: Reading, policy: Policy) -> float:
    """The temperature to stay below: the setting, or less if the board throttles earlier."""
    passive = reading.thermal.passive_temp_c
    if passive is None or passive - _MARGIN_C < _MIN_TARGET_C:
        return policy.target_temp_c
    return min(policy.target_temp_c, passive - _MARGIN_C)


def critical_c(reading: Reading, policy: Policy) -> float:
    """The temperature at which inference stops: the setting, or less if the board shuts down earlier."""
    off = reading.thermal.critical_temp_c
    if off is None or off - _MARGIN_C < _MIN_TARGET_C:
        return policy.critical_temp_c
    return min(policy.critical_temp_c, off - _MARGIN_C)


def _decide_by_temperature(
    state: State, known: Heat, temp: float, target: float, now: float, policy: Policy, throttled: str | None
) -> State:
    heat, waited_s = state.heat, now - state.since_s
    hot = temp >= target + _URGENT_C or (heat.temp_c >= target and not heat.cooling)
    near = known.trusted and heat.temp_c >= target - _NEAR_C
    rising = near and heat.temp_c + known.rise_c(known.use, _AHEAD_S) >= target
    cool = heat.temp_c < target - policy.hysteresis_c and temp < target and throttled is None
    state = replace(state, cool_since_s=(now if state.cool_since_s is None else state.cool_since_s) if cool else None)
    waits = ((hot, 1, "temperature"), (rising, 2, "temperature"), (throttled is not None, 3, throttled or ""))
    for present, dwells, reason in waits:
        if present and waited_s >= dwells * policy.dwell_s:
            return _step_down(state, now, throttled or reason, policy)
    if hot or rising or throttled is not None or temp >= target or not state.cooling:
        return state
    return _step_up(state, now) if _may_rise(state, known, target, now, policy) else state


def _may_rise(state: State, known: Heat, target: float, now: float, policy: Policy) -> bool:
    if now - state.since_s < _min_wait_s(state, policy):
        return False
    steps = policy.ladder.steps
    here, above = steps[state.cooling].heat, steps[state.cooling - 1].heat
    others = max(0.0, known.use - known.own)
    own = known.own * above / here if here else above * (1 - others)
    use = min(1.0, others + own)
    room_c = target - state.heat.temp_c - 1.0 - 3.0 * state.failed
    if known.trusted and max(known.rise_c(use, _AHEAD_S), known.rise_c(use, _SETTLED_S)) <= room_c:
        return True
    if state.cool_since_s is None:
        return False
    patience_s = policy.patience_s * 2**state.failed if known.trusted else policy.recover_s
    return now - max(state.cool_since_s, state.since_s) >= patience_s


def _min_wait_s(state: State, policy: Policy) -> float:
    """Shortest time before any step up. The heat model knows nothing about the power supply, so waiting is the only
    remedy after under-voltage."""
    if state.raised_s is not None:
        return policy.recover_s
    if state.reason in _BY_THE_BOARD:
        return policy.patience_s / 4 * float(2**state.failed)
    return 3 * policy.recover_s


def _decide_blind(state: State, now: float, policy: Policy, throttled: str | None) -> State:
    """Decide without a temperature: at full performance if there never was one, cautious if it was lost."""
    never = state.temp_at_s is None
    state = replace(state, cool_since_s=None, blind="no_sensor" if never else state.blind)
    waited_s = now - state.since_s
    if throttled is not None:
        return _step_down(state, now, throttled, policy) if waited_s >= 3 * policy.dwell_s else state
    if state.temp_at_s is None:
        return _step_up(state, now) if state.cooling and waited_s >= _min_wait_s(state, policy) else state
    if now - state.temp_at_s < _SILENT_S:
        return state
    careful = max(policy.ladder.cautious(), state.cooling if state.blind else state.cooling + 1)
    careful = max(state.cooling, min(careful, policy.ladder.last - 1))
    return replace(_move(state, careful, now, "temperature_unknown"), blind="silent")


def _decide_disbelieving(state: State, now: float, policy: Policy, throttled: str | None) -> State:
    """Decide while the sensor is stuck: cautious whatever it says, and less while the board throttles its chip."""
    state, waited_s = replace(state, cool_since_s=None, blind="stuck"), now - state.since_s
    careful = policy.ladder.cautious()
    if throttled is not None and state.cooling >= careful:
        return _step_down(state, now, throttled, policy) if waited_s >= 3 * policy.dwell_s else state
    if state.cooling > careful and state.reason in _BY_THE_BOARD:
        return _step_up(state, now) if waited_s >= _min_wait_s(state, policy) else state
    return _move(state, careful, now, "temperature_unknown")


def _step_down(state: State, now: float, reason: str, policy: Policy) -> State:
    """Go one step down, but never to the last level: only the critical temperature stops inference."""
    if state.cooling >= policy.ladder.last - 1:
        return replace(state, cool_since_s=None)
    return replace(_go_down(state, state.cooling + 1, now), reason=reason)


def _go_down(state: State, cooling: int, now: float) -> State:
    """Go down to this level, and judge whether the last step up was a failure."""
    failed = state.failed
    if state.raised_s is not None:
        failed = (
            min(failed + 1, _MAX_FAILURES) if now - state.raised_s < _FAILURE_S else _remaining_failures(state, now)
        )
    return _move(replace(state, cool_since_s=None, failed=failed, raised_s=None), cooling, now, state.reason)


def _step_up(state: State, now: float) -> State:
    state = replace(state, cool_since_s=None, raised_s=now, failed=_remaining_failures(state, now))
    return _move(state, state.cooling - 1, now, state.reason)


def _remaining_failures(state: State, now: float) -> int:
    """The failures that still count, given how long the last step up lasted."""
    kept_s = now - state.raised_s if state.raised_s is not None else 0.0
    return max(state.failed - int(kept_s / _EXPIRY_S), 0)


def _move(state: State, cooling: int, now: float, reason: str) -> State:
    reason = reason if cooling else "normal"
    if cooling == state.cooling:
        return replace(state, reason=reason)
    return replace(state, cooling=cooling, since_s=now, transitions=state.transitions + 1, reason=reason)


def _temperature(reading: Reading) -> float | None:
    thermal = reading.thermal
    if thermal.at_s is not None and reading.at_s - thermal.at_s > _STALE_S:
        return None
    return thermal.soc_temp_c


def _use(reading: Reading, heat: float) -> tuple[float, float]:
    """CPU use by this service and by all processes, 0-1; if unknown, what the level allows."""
    own, total = reading.cpu.own_percent, reading.cpu.percent
    if total is None:
        total = own
    if total is None:
        return heat, heat
    if own is None:
        own = total
    return min(own, total) / 100, total / 100


def _throttled(power: Power, events_before: int | None) -> str | None:
    """Why the board is throttled now; None: it is not. The soft limit of a Raspberry Pi 3 at 60 °C is normal operation
    and does not count."""
    if power.under_voltage:
        return "under_voltage"
    more = power.throttle_events is not None and events_before is not None and power.throttle_events > events_before
    return "throttled" if power.throttled or power.frequency_capped or more else None
