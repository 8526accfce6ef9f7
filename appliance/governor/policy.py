"""The governor's policy: a pure function from one reading to the next state and the limits of the device.

Rules of this file:
- Two actuators. The duty, the part of the engine's time that may be used, follows the heat model every second
  (allowance.py). The throttle level, which cameras and technicians see, follows the duty slowly (levels.py).
- A throttled chip or an under-voltage caps the duty at any temperature; what the chip was at lowers the target.
- The critical temperature stops inference at once, even at a manually held level.
- A temperature sensor that stops responding causes caution. A machine that never had a sensor runs at full
  performance.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from appliance.governor import memory
from appliance.governor.allowance import duty_now, lasting_duty
from appliance.governor.belief import Belief, believe
from appliance.governor.bursts import Burst, next_burst, returning
from appliance.governor.cap import Cap, complaint_of, next_cap, suspected_of
from appliance.governor.demand import CameraDemand, next_demand
from appliance.governor.doubt import wants_a_try
from appliance.governor.heat import Heat, Load, learn, towards
from appliance.governor.ladder import Ladder, with_costs
from appliance.governor.levels import Ease, next_level
from appliance.governor.load import load_of, used_by_others
from appliance.governor.memory import Shortage
from appliance.governor.nearness import Nearness, next_nearness
from appliance.governor.size_costs import SizeCosts, next_costs
from appliance.governor.targets import Policy, critical_c, target_c
from appliance.readings import Reading
from appliance.values import Limits

_STALE_S = 10.0
"""A temperature older than this counts as unknown."""
_SILENT_S = 30.0
"""A sensor that is silent for longer counts as lost; shorter drop-outs are ignored."""
_CALM_S = 10.0
"""The duty is smoothed over this time, because sensors are noisy."""
_URGENT_C, _CLEARLY_LESS = 0.7, 0.75
"""This far above the target, and to less than this part, it falls at once."""
_TOO_HOT_C = 1.5
"""This far above the target it does not rise."""
_TRY_DUTY = 0.3
"""Enough for a chip to warm by a degree in half a minute, and for the coolest boards in the hottest weather."""
_EASED_C = 2.0
_BACK_C = 2.0
"""After the critical temperature, inference starts again this far below the target."""


@dataclass(frozen=True, slots=True)
class HeldLevel:
    """A throttle level that was set manually, until a given time."""

    cooling: int
    until_s: float


@dataclass(frozen=True, slots=True)
class State:
    """The governor's state; `cooling` is the throttle level, 0 is full performance."""

    cooling: int = 0
    duty: float = 1.0
    """The part of the engine's time that may be used, 0-1."""
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
    other_unit_s: float = 0.0
    """How long the board has (or has not) reported its power, unlike while the heat model was fitted."""
    temp_at_s: float | None = None
    """Time of the last known temperature."""
    decided_s: float | None = None
    demand: CameraDemand = field(default_factory=CameraDemand)
    ease: Ease = field(default_factory=Ease)
    cap: Cap = field(default_factory=Cap)
    near: Nearness = field(default_factory=Nearness)
    costs: SizeCosts = field(default_factory=SizeCosts)
    burst: Burst | None = None


def decide(state: State, reading: Reading, policy: Policy) -> tuple[State, Limits]:
    """Return the next state and its limits. `reading` is raw: one bad sample in it changes nothing."""
    belief, reading = believed(state, reading)
    temp, fresh = _temperature(reading), belief.best != state.belief.best
    step_s = 0.0 if state.decided_s is None else max(0.0, reading.at_s - state.decided_s)
    state = replace(state, belief=belief, costs=_costs(state, reading, policy.ladder))
    policy = replace(policy, ladder=with_costs(policy.ladder, state.costs.ms))
    state, load = _heated(state, reading, temp, fresh, step_s, policy)
    state = replace(
        state,
        demand=_demand(state, reading, temp, load, step_s, policy),
        cap=_cap(state, reading, temp, load, policy),
        shortage=memory.next_shortage(state.shortage, reading.memory, reading.at_s, policy.min_available_bytes),
    )
    if state.hold is not None and reading.at_s >= state.hold.until_s:
        state = release(state)
    state = replace(_decide(state, reading, temp, step_s, policy), decided_s=reading.at_s)
    return state, limits_of(state, policy.ladder)


def believed(state: State, reading: Reading) -> tuple[Belief, Reading]:
    """Return what is believed of a raw reading, with the heat model's forecast in view."""

    def forecast(now: Reading) -> float | None:
        if state.heat.at_s is None:
            return None
        return learn(state.heat, now.at_s, None, _load(state, now, 0.0)[0]).temp_c

    return believe(state.belief, reading, forecast)


def release(state: State) -> State:
    """Return the state without its manual hold."""
    return replace(state, hold=None, reason="recovering" if state.reason == "held" else state.reason)


def limits_of(state: State, ladder: Ladder) -> Limits:
    """Return the limits of a state; `duty` is in whole percent."""
    step = ladder.steps[state.cooling]
    duty = round(max(state.duty, 0.001), 3) if step.limits.admit else 0.0
    limits = memory.within(replace(step.limits, duty=duty), state.shortage.stage)
    short = state.shortage.stage > 0 and (state.cooling == 0 or state.shortage.stage == memory.FRAMES)
    return replace(limits, reason="memory" if short else state.reason)


def present_target_c(state: State, reading: Reading, policy: Policy) -> float:
    """The temperature to stay below now: a little more than `target_c` where that was kept to, less after the board was
    throttled at less."""
    closer_c = state.near.closer_c if policy.follow_board else 0.0
    return min(target_c(reading, policy) + closer_c, state.cap.ceiling_c)


def _load(state: State, reading: Reading, step_s: float) -> tuple[Load, float]:
    """What heats the board, and for how long it has been reporting another unit than that of the heat model."""
    return load_of(reading, state.heat, state.duty, state.demand.use_at_full, state.other_unit_s + step_s)


def _heated(
    state: State, reading: Reading, temp: float | None, fresh: bool, step_s: float, policy: Policy
) -> tuple[State, Load]:
    """The state with what the reading shows of the board's heat, and the load; `fresh`: the temperature is new."""
    now, others = reading.at_s, used_by_others(reading.cpu)
    load, other_unit_s = _load(state, reading, step_s)
    burst = next_burst(state.burst, others, state.heat.others, state.duty, now)
    heat = learn(state.heat, now, temp if fresh else None, load)
    state = replace(state, heat=heat, other_unit_s=other_unit_s, burst=burst)
    if temp is None:
        return state, load
    near = next_nearness(state.near, heat.temp_c - present_target_c(state, reading, policy), others, step_s)
    return replace(state, temp_at_s=now, blind=None, near=near), load


def _demand(
    state: State, reading: Reading, temp: float | None, load: Load, step_s: float, policy: Policy
) -> CameraDemand:
    """What the cameras want, after what they used of the last duty."""
    return next_demand(
        state.demand,
        state.heat.own if state.heat.at_s == reading.at_s else load.own,
        0.0 if state.cooling == policy.ladder.last else state.duty,
        policy.ladder.steps[state.cooling].cost,
        step_s,
        busy=reading.engine_busy,
        idle=load.idle,
        room_c=present_target_c(state, reading, policy) - state.heat.temp_c if temp is not None else 0.0,
    )


def _cap(state: State, reading: Reading, temp: float | None, load: Load, policy: Policy) -> Cap:
    """What the board's own complaints allow, or its slowness."""
    reported = complaint_of(reading.power, state.cap.events)
    return next_cap(
        state.cap,
        reported or suspected_of(reading, state.heat.lately_c, had_sensor=state.temp_at_s is not None),
        reading.power.throttle_events,
        reading.at_s,
        state.heat.lately_c if temp is not None else None,
        state.demand.engine_use(load.own, reading.engine_busy),
        target_c(reading, policy) if reading.thermal.passive_temp_c is not None else None,
        reported=reported is not None,
    )


def _decide(state: State, reading: Reading, temp: float | None, step_s: float, policy: Policy) -> State:
    """Choose duty and throttle level."""
    now, last = reading.at_s, policy.ladder.last
    stopped = state.reason == "critical_temperature" and state.cooling == last
    if temp is not None and state.belief.reaches(critical_c(reading, policy), stopped=stopped):
        return replace(_move(state, last, now, "critical_temperature"), duty=0.0)
    if state.hold is not None:
        held = min(state.hold.cooling, last)
        return replace(_move(state, held, now, "held"), duty=policy.ladder.steps[held].heat)
    if reading.doubts.stuck_temp_c is not None:
        return _decide_disbelieving(state, now, policy)
    if temp is None:
        return _decide_blind(state, reading, now, step_s, policy)
    return _decide_by_temperature(state, temp, present_target_c(state, reading, policy), now, step_s, policy)


def _decide_by_temperature(
    state: State, temp: float, target: float, now: float, step_s: float, policy: Policy
) -> State:
    ladder, heat, full = policy.ladder, state.heat, state.demand.assumed_at_full
    if heat.temp_c >= target + _URGENT_C:  # what was assumed has not sufficed
        full = max(full, min(1.0, state.demand.at_full_now))
    if state.cooling == ladder.last and heat.temp_c > target - _BACK_C:
        return state
    least = ladder.steps[-2].heat
    lasting = min(lasting_duty(heat, target, full), state.cap.duty)
    duty = min(duty_now(heat, target, full), state.cap.duty)
    if state.decided_s is not None:
        duty = _smoothed(state, duty, temp, target, step_s)
    if state.cooling == ladder.last:
        duty = least  # nobody uses it yet, so nothing shows whether more would do
    elif state.cap.seen_s == now:
        duty = min(duty, state.duty)
    elif wants_a_try(state.belief.doubt, now):
        duty = max(duty, min(_TRY_DUTY, state.cap.duty))
    state = replace(state, duty=max(duty, least))
    ease, level = next_level(
        state.ease, state.cooling, state.duty, lasting, state.demand, ladder, now, burst=state.burst is not None
    )
    reason = state.cap.reason if state.cap.reason and state.cap.duty <= duty else "temperature"
    if level <= state.cooling and temp < target - _EASED_C and state.reason != "normal":
        reason = state.reason  # on the way back
    return _move(replace(state, ease=ease), level, now, reason)


def _smoothed(state: State, duty: float, temp: float, target: float, step_s: float) -> float:
    """The duty after one more second, on the way to this one: it falls at once where that is urgent, and does not rise
    while the chip is clearly too hot."""
    over_c = state.heat.temp_c - target
    if duty <= state.duty and (over_c >= _URGENT_C or duty <= _CLEARLY_LESS * state.duty):
        return duty
    if duty > state.duty and max(over_c, temp - target) >= _TOO_HOT_C:
        return state.duty
    back = min(returning(state.burst), duty) if over_c <= 0 else 0.0
    return min(towards(max(state.duty, back), duty, step_s, _CALM_S), state.cap.duty)


def _decide_blind(state: State, reading: Reading, now: float, step_s: float, policy: Policy) -> State:
    """Decide without a temperature: at full performance if there never was one, by the model for a short time, cautious
    once the sensor counts as lost."""
    ladder = policy.ladder
    if state.temp_at_s is None:
        duty = state.cap.duty
        ease, level = next_level(state.ease, state.cooling, duty, duty, state.demand, ladder, now)
        state = replace(state, blind="no_sensor", ease=ease, duty=max(duty, ladder.steps[-2].heat))
        return _move(state, level, now, state.cap.reason or state.reason)
    if now - state.temp_at_s < _SILENT_S:
        target = present_target_c(state, reading, policy)
        decided = _decide_by_temperature(state, state.heat.temp_c, target, now, step_s, policy)
        return state if decided.duty > state.duty or decided.cooling < state.cooling else decided
    careful = max(ladder.cautious(), state.cooling if state.blind else state.cooling + 1)
    careful = max(state.cooling, min(careful, ladder.last - 1))
    duty = min(state.duty, state.cap.duty, ladder.steps[careful].heat)
    return replace(_move(state, careful, now, "temperature_unknown"), blind="silent", duty=duty)


def _decide_disbelieving(state: State, now: float, policy: Policy) -> State:
    """Decide while the sensor is stuck: cautious whatever it says, and less while the board throttles its chip."""
    ladder = policy.ladder
    careful = ladder.cautious()
    duty = min(state.cap.duty, ladder.steps[careful].heat)
    level = next(
        (number for number in range(careful, ladder.last) if ladder.steps[number].heat <= duty), ladder.last - 1
    )
    state = replace(state, blind="stuck", ease=Ease(moved_s=now), duty=max(duty, ladder.steps[-2].heat))
    return _move(state, level, now, (level > careful and state.cap.reason) or "temperature_unknown")


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


def _costs(state: State, reading: Reading, ladder: Ladder) -> SizeCosts:
    if ladder.measured:
        return state.costs
    given = ladder.steps[min(state.cooling, ladder.last)].limits.max_side
    costs = {step.limits.max_side: step.cost for step in ladder.steps}
    return next_costs(state.costs, reading.frame_ms, given, costs, used_by_others(reading.cpu) or 0.0, reading.at_s)
