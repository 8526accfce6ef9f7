"""How much the box may do, decided from one reading: a pure function that walks the ladder.

Rules of this file:
- Down: at the target, unless it is cooling already; at once when clearly above it. Earlier, when the model of the
  board's heating says that the target is near. The model never delays a step down.
- Up: when the model says that the next state can be kept; or after a long while of being clearly cooler, model or no
  model. A step up that had to be taken back makes the next try wait twice as long, so that the box does not swing;
  each hour that one was kept takes back one such failure.
- A chip that is throttled, or short of voltage, takes a step down whatever its temperature.
- The critical point stops inference at once, also in a state that a technician holds.
- A sensor that fell silent is answered with caution; a machine that never had one works at full.
- For the same state a hotter reading never allows more: forecasts use what was known before it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from appliance.governor import memory
from appliance.governor.heat import Heat, learn
from appliance.governor.ladder import Ladder
from appliance.governor.memory import Shortage
from appliance.readings import Power, Reading
from appliance.values import Limits

_MARGIN_C = 3.0
"""Kept below the board's own passive trip point: the chip follows its load within seconds."""
_LEAST_TARGET_C = 45.0
"""A lower trip point is an error of its firmware."""
_URGENT_C = 2.0
_NEAR_C = 5.0
_AHEAD_S = 45.0
_SETTLED_S = 1200.0
_STALE_S = 10.0
"""A temperature older than this is none."""
_SILENT_S = 30.0
"""A sensor silent for longer counts as lost; a drop-out is not worth a step."""
_TRIAL_S = 900.0
"""A step down sooner than this after one up says that the state above cannot be kept."""
_FORGIVEN_S = 3600.0
_MOST_FAILED = 4
_HELD_BACK = ("throttled", "under_voltage")


@dataclass(frozen=True, slots=True)
class Policy:
    """The bounds to keep, and the states to keep them with; temperatures in °C, times in s."""

    target_temp_c: float
    critical_temp_c: float
    min_available_bytes: int
    ladder: Ladder
    hysteresis_c: float = 5.0
    dwell_s: float = 10.0
    """Between two steps down."""
    recover_s: float = 20.0
    """Before a step up that the model finds safe; three times as long after one down."""
    patience_s: float = 300.0
    """Before one that it does not; doubles with each failure."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A state that a technician asked for."""

    cooling: int
    until_s: float


@dataclass(frozen=True, slots=True)
class State:
    """Where the governor stands; `cooling` 0 is full work."""

    cooling: int = 0
    since_s: float = float("-inf")
    transitions: int = 0
    reason: str = "normal"
    blind: str | None = None
    """Why no temperature is known: `no_sensor` (there never was one) or `silent` (it stopped answering)."""
    hold: Hold | None = None
    shortage: Shortage = field(default_factory=Shortage)
    heat: Heat = field(default_factory=Heat)
    temp_at_s: float | None = None
    """When a temperature was last known."""
    cool_since_s: float | None = None
    """Since when it has been clearly below the target."""
    raised_s: float | None = None
    """The last step up; None: there was one down since."""
    failed: int = 0
    """Steps up in a row that had to be taken back."""
    throttle_events: int | None = None


def decide(state: State, reading: Reading, policy: Policy) -> tuple[State, Limits]:
    """The next state, and the limits that go with it."""
    now = reading.at_s
    temp = _temperature(reading)
    known = state.heat
    if temp is not None:
        own, everybody = _use(reading, policy.ladder.steps[state.cooling].heat)
        state = replace(state, heat=learn(known, now, temp, everybody, own), temp_at_s=now, blind=None)
    throttled = _throttled(reading.power, state.throttle_events)
    state = replace(
        state,
        throttle_events=reading.power.throttle_events,
        shortage=memory.next_shortage(state.shortage, reading.memory, now, policy.min_available_bytes),
    )
    if state.hold is not None and now >= state.hold.until_s:
        state = release(state)
    if temp is not None and temp >= critical_c(reading, policy):
        state = replace(_lower(state, policy.ladder.last, now), reason="critical_temperature")
    elif state.hold is not None:
        state = _move(state, min(state.hold.cooling, policy.ladder.last), now, "held")
    elif temp is None:
        state = _unseeing(state, now, policy, throttled)
    else:
        state = _seeing(state, known, temp, target_c(reading, policy), now, policy, throttled)
    return state, limits_of(state, policy.ladder)


def release(state: State) -> State:
    """The state without its hold; from there it finds its own way."""
    return replace(state, hold=None, reason="recovering" if state.reason == "held" else state.reason)


def limits_of(state: State, ladder: Ladder) -> Limits:
    """What a state allows."""
    limits = memory.within(ladder.steps[state.cooling].limits, state.shortage.stage)
    short = state.shortage.stage > 0 and (state.cooling == 0 or state.shortage.stage == memory.FRAMES)
    return replace(limits, reason="memory" if short else state.reason)


def target_c(reading: Reading, policy: Policy) -> float:
    """The temperature to stay below: the setting, or less where the board slows itself down earlier."""
    passive = reading.thermal.passive_temp_c
    if passive is None or passive - _MARGIN_C < _LEAST_TARGET_C:
        return policy.target_temp_c
    return min(policy.target_temp_c, passive - _MARGIN_C)


def critical_c(reading: Reading, policy: Policy) -> float:
    """Where inference stops: the setting, or less where the board switches itself off earlier."""
    off = reading.thermal.critical_temp_c
    if off is None or off - _MARGIN_C < _LEAST_TARGET_C:
        return policy.critical_temp_c
    return min(policy.critical_temp_c, off - _MARGIN_C)


def _seeing(
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
            return _one_lower(state, now, throttled or reason, policy)
    if hot or rising or throttled is not None or temp >= target or not state.cooling:
        return state
    return _raise(state, now) if _may_rise(state, known, target, now, policy) else state


def _may_rise(state: State, known: Heat, target: float, now: float, policy: Policy) -> bool:
    if now - state.since_s < _least_wait_s(state, policy):
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


def _least_wait_s(state: State, policy: Policy) -> float:
    """Before any step up. The model of the heat knows nothing of the supply: what it did must be waited out."""
    if state.raised_s is not None:
        return policy.recover_s
    if state.reason in _HELD_BACK:
        return policy.patience_s / 4 * float(2**state.failed)
    return 3 * policy.recover_s


def _unseeing(state: State, now: float, policy: Policy, throttled: str | None) -> State:
    """No temperature: at full where there never was one, with caution where it was lost."""
    never = state.temp_at_s is None
    state = replace(state, cool_since_s=None, blind="no_sensor" if never else state.blind)
    waited_s = now - state.since_s
    if throttled is not None:
        return _one_lower(state, now, throttled, policy) if waited_s >= 3 * policy.dwell_s else state
    if state.temp_at_s is None:
        return _raise(state, now) if state.cooling and waited_s >= _least_wait_s(state, policy) else state
    if now - state.temp_at_s < _SILENT_S:
        return state
    careful = max(policy.ladder.cautious(), state.cooling if state.blind else state.cooling + 1)
    careful = max(state.cooling, min(careful, policy.ladder.last - 1))
    return replace(_move(state, careful, now, "temperature_unknown"), blind="silent")


def _one_lower(state: State, now: float, reason: str, policy: Policy) -> State:
    """A state down, but not to where nothing is inferred: only the critical point goes there."""
    if state.cooling >= policy.ladder.last - 1:
        return replace(state, cool_since_s=None)
    return replace(_lower(state, state.cooling + 1, now), reason=reason)


def _lower(state: State, cooling: int, now: float) -> State:
    """Down to this state; whether the last step up was right is known now."""
    failed = state.failed
    if state.raised_s is not None:
        failed = min(failed + 1, _MOST_FAILED) if now - state.raised_s < _TRIAL_S else _forgiven(state, now)
    return _move(replace(state, cool_since_s=None, failed=failed, raised_s=None), cooling, now, state.reason)


def _raise(state: State, now: float) -> State:
    state = replace(state, cool_since_s=None, raised_s=now, failed=_forgiven(state, now))
    return _move(state, state.cooling - 1, now, state.reason)


def _forgiven(state: State, now: float) -> int:
    """The failures that still count, after what the last step up has held."""
    kept_s = now - state.raised_s if state.raised_s is not None else 0.0
    return max(state.failed - int(kept_s / _FORGIVEN_S), 0)


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
    """Use of the processors by this service and by everybody, 0-1; unknown: what the state allows."""
    own, everybody = reading.cpu.own_percent, reading.cpu.percent
    if everybody is None:
        everybody = own
    if everybody is None:
        return heat, heat
    if own is None:
        own = everybody
    return min(own, everybody) / 100, everybody / 100


def _throttled(power: Power, events_before: int | None) -> str | None:
    """What the board says of itself now. The soft limit of a Raspberry Pi 3 at 60 °C is no reason: it is its design."""
    if power.under_voltage:
        return "under_voltage"
    more = power.throttle_events is not None and events_before is not None and power.throttle_events > events_before
    return "throttled" if power.throttled or power.frequency_capped or more else None
