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
from appliance.governor.cap import Cap, complaint_of, next_cap
from appliance.governor.demand import CameraDemand, next_demand
from appliance.governor.doubt import wants_a_try
from appliance.governor.heat import Heat, Load, learn, towards
from appliance.governor.ladder import Ladder, with_costs
from appliance.governor.levels import Ease, next_level
from appliance.governor.memory import Shortage
from appliance.governor.nearness import Nearness, next_nearness
from appliance.governor.plausible import chip_temp_c
from appliance.governor.size_costs import SizeCosts, next_costs
from appliance.readings import Reading
from appliance.values import Limits

_MARGIN_C = 2.0
"""Distance to the board's own passive trip point: the chip follows its load within seconds."""
_CRITICAL_MARGIN_C = 3.0
_MIN_TARGET_C = 45.0
"""A trip point that implies a lower target is a firmware error."""
_STALE_S = 10.0
"""A temperature older than this counts as unknown."""
_SILENT_S = 30.0
"""A sensor that is silent for longer counts as lost; shorter drop-outs are ignored."""
_CALM_S = 10.0
"""The duty is smoothed over this time, because sensors are noisy."""
_URGENT_C, _CLEARLY_LESS = 0.7, 0.75
"""This far above the target, and to less than this part, it falls at once."""
_LIKELY_RISE_C = 3.0
"""A chip that was this far below the critical temperature a second ago may have reached it."""
_OTHER_UNIT_S = 60.0
"""A board that reports its power, or none, for this long is believed to go on like that."""
_APART_C = 3.0
"""Least distance of the target to the critical temperature: a target is exceeded by a degree now and then."""
_FAR_BELOW_C = 10.0
"""This far below the board's throttling temperature, a chip is slow for another reason than heat."""
_TRY_DUTY = 0.3
"""Enough for a chip to warm by a degree in half a minute, and for the coolest boards in the hottest weather."""
_EASED_C = 2.0
_BACK_C = 2.0
"""After the critical temperature, inference starts again this far below the target."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The limits to keep, and the ladder of throttle levels to keep them with; temperatures in °C, times in s."""

    target_temp_c: float
    """The temperature to stay below on a board that reports no trip point."""
    critical_temp_c: float
    min_available_bytes: int
    ladder: Ladder
    follow_board: bool = True
    """Whether a board's own trip points raise target and critical temperature. They always lower them."""
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


def decide(state: State, reading: Reading, policy: Policy) -> tuple[State, Limits]:
    """Return the next state and its limits. `reading` is raw: one bad sample in it changes nothing."""
    before, (belief, reading) = state.belief, believed(state, reading)
    costs = _costs(state, reading, policy.ladder)
    state = replace(state, belief=belief, costs=costs)
    policy = replace(policy, ladder=with_costs(policy.ladder, costs.ms))
    now, temp = reading.at_s, _temperature(reading)
    step_s = 0.0 if state.decided_s is None else max(0.0, now - state.decided_s)
    load, other_unit_s = _load(reading, state, step_s)
    fresh = belief.best != before.best
    state = replace(state, heat=learn(state.heat, now, temp if fresh else None, load), other_unit_s=other_unit_s)
    if temp is not None:
        over_c = state.heat.temp_c - present_target_c(state, reading, policy)
        near = next_nearness(state.near, over_c, _others(reading), step_s)
        state = replace(state, temp_at_s=now, blind=None, near=near)
    applied = 0.0 if state.cooling == policy.ladder.last else state.duty
    reported = complaint_of(reading.power, state.cap.events)
    state = replace(
        state,
        demand=next_demand(
            state.demand,
            state.heat.own if state.heat.at_s == now else load.own,
            applied,
            policy.ladder.steps[state.cooling].cost,
            step_s,
            busy=reading.engine_busy,
            room_c=present_target_c(state, reading, policy) - state.heat.temp_c if temp is not None else 0.0,
        ),
        cap=next_cap(
            state.cap, reported or _suspected(reading, state), reading.power.throttle_events, now,
            state.heat.lately_c if temp is not None else None, _used(state, reading, load),
            target_c(reading, policy) if reading.thermal.passive_temp_c is not None else None,
            reported=reported is not None,
        ),
        shortage=memory.next_shortage(state.shortage, reading.memory, now, policy.min_available_bytes),
    )  # fmt: skip
    if state.hold is not None and now >= state.hold.until_s:
        state = release(state)
    stopped = state.reason == "critical_temperature" and state.cooling == policy.ladder.last
    if temp is not None and _is_critical(belief, critical_c(reading, policy), stopped):
        state = replace(_move(state, policy.ladder.last, now, "critical_temperature"), duty=0.0)
    elif state.hold is not None:
        held = min(state.hold.cooling, policy.ladder.last)
        state = replace(_move(state, held, now, "held"), duty=policy.ladder.steps[held].heat)
    elif reading.doubts.stuck_temp_c is not None:
        state = _decide_disbelieving(state, now, policy)
    elif temp is None:
        state = _decide_blind(state, reading, now, step_s, policy)
    else:
        state = _decide_by_temperature(state, temp, present_target_c(state, reading, policy), now, step_s, policy)
    state = replace(state, decided_s=now)
    return state, limits_of(state, policy.ladder)


def believed(state: State, reading: Reading) -> tuple[Belief, Reading]:
    """Return what is believed of a raw reading, with the heat model's forecast in view."""

    def forecast(now: Reading) -> float | None:
        if state.heat.at_s is None:
            return None
        return learn(state.heat, now.at_s, None, _load(now, state, 0.0)[0]).temp_c

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


def target_c(reading: Reading, policy: Policy) -> float:
    """The temperature to stay below: a little below the board's trip point, or the setting where the board reports none
    or is not followed above it. Always a few degrees below the critical temperature."""
    wanted = _by_board(
        chip_temp_c(reading.thermal.passive_temp_c), _MARGIN_C, policy.target_temp_c, policy.follow_board
    )
    return min(wanted, critical_c(reading, policy) - _APART_C)


def present_target_c(state: State, reading: Reading, policy: Policy) -> float:
    """The temperature to stay below now: a little more than `target_c` where that was kept to, less after the board was
    throttled at less."""
    closer_c = state.near.closer_c if policy.follow_board else 0.0
    return min(target_c(reading, policy) + closer_c, state.cap.ceiling_c)


def critical_c(reading: Reading, policy: Policy) -> float:
    """The temperature at which inference stops: the setting, or less if the board shuts down earlier; more if the board
    throttles so late that its target is near."""
    passive, limit = chip_temp_c(reading.thermal.passive_temp_c), chip_temp_c(reading.thermal.critical_temp_c)
    if passive is not None and limit is not None and limit < passive:
        limit = None  # no board shuts down before it throttles
    off = _by_board(limit, _CRITICAL_MARGIN_C, policy.critical_temp_c, False)
    if not policy.follow_board or passive is None or passive < policy.critical_temp_c:
        return off
    return passive + 1.0 if limit is None else max(off, min(passive + 3.0, limit - _CRITICAL_MARGIN_C))


def _by_board(trip: float | None, margin_c: float, setting_c: float, rise: bool) -> float:
    if trip is None or trip - margin_c < _MIN_TARGET_C:
        return setting_c
    return trip - margin_c if rise else min(setting_c, trip - margin_c)


def _decide_by_temperature(
    state: State, temp: float, target: float, now: float, step_s: float, policy: Policy
) -> State:
    ladder, heat, full = policy.ladder, state.heat, state.demand.assumed_at_full
    if state.cooling == ladder.last and heat.temp_c > target - _BACK_C:
        return state
    least = ladder.steps[-2].heat
    lasting = min(lasting_duty(heat, target, full), state.cap.duty)
    duty = min(duty_now(heat, target, full), state.cap.duty)
    urgent = duty <= state.duty and (heat.temp_c >= target + _URGENT_C or duty <= _CLEARLY_LESS * state.duty)
    if state.decided_s is not None and not urgent:
        duty = min(towards(state.duty, duty, step_s, _CALM_S), state.cap.duty)
    if state.cooling == ladder.last:
        duty = least  # nobody uses it yet, so nothing shows whether more would do
    elif state.cap.seen_s == now:
        duty = min(duty, state.duty)
    elif wants_a_try(state.belief.doubt, now):
        duty = max(duty, min(_TRY_DUTY, state.cap.duty))
    state = replace(state, duty=max(duty, least))
    ease, level = next_level(state.ease, state.cooling, state.duty, lasting, state.demand, ladder, now)
    reason = state.cap.reason if state.cap.reason and state.cap.duty <= duty else "temperature"
    if level <= state.cooling and temp < target - _EASED_C and state.reason != "normal":
        reason = state.reason  # on the way back
    return _move(replace(state, ease=ease), level, now, reason)


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


def _suspected(reading: Reading, state: State) -> str | None:
    """What the board may have reason to complain of although it does not."""
    return "throttled" if reading.doubts.slowed and _may_be_heat(reading, state) else None


def _may_be_heat(reading: Reading, state: State) -> bool:
    """Whether a chip that is slow without a report may be so hot that less load helps: not far below the temperature at
    which its board throttles. A machine that never had a sensor (a VM) shows nothing of the kind."""
    passive = reading.thermal.passive_temp_c
    if reading.thermal.soc_temp_c is None:
        return state.temp_at_s is not None or reading.doubts.stuck_temp_c is not None
    return passive is None or state.heat.lately_c >= passive - _FAR_BELOW_C


def _used(state: State, reading: Reading, load: Load) -> float:
    """Part of what the engine could do that this service uses, 0-1: an engine on a GPU uses little of the CPU."""
    used = load.own / max(state.demand.use_at_full, 0.01)
    return min(1.0, used if reading.engine_busy is None else max(state.demand.busy, reading.engine_busy))


def _is_critical(belief: Belief, critical: float, stopped: bool) -> bool:
    """Whether two of the last samples agree that the chip is too hot: one alone can be the sensor's error. Inference
    that is `stopped` starts again when the last two are below."""
    earlier = belief.samples[:-1]
    if stopped and any(sample.temp_c >= critical for sample in belief.samples[-2:]):
        return True
    if not earlier or belief.best is None or belief.best.temp_c < critical:
        return False
    return max(sample.temp_c for sample in earlier) + _LIKELY_RISE_C >= critical


def _costs(state: State, reading: Reading, ladder: Ladder) -> SizeCosts:
    if ladder.measured:
        return state.costs
    given = ladder.steps[min(state.cooling, ladder.last)].limits.max_side
    costs = {step.limits.max_side: step.cost for step in ladder.steps}
    return next_costs(state.costs, reading.frame_ms, given, costs, _others(reading) or 0.0, reading.at_s)


def _others(reading: Reading) -> float | None:
    """CPU use by other programs, 0-1; None: unknown."""
    cpu = reading.cpu
    if cpu.percent is None or cpu.own_percent is None:
        return None
    return max(cpu.percent - cpu.own_percent, 0.0) / 100


def _load(reading: Reading, state: State, step_s: float) -> tuple[Load, float]:
    """What heats the board: its power if that is measured, else the use of CPU and GPU; if unknown, the duty. With it,
    for how long the reading has been in another unit than the model. The model of one unit says nothing of the other,
    so a power that is missing for a moment is computed from what this service used since."""
    cpu, heat, full = reading.cpu, state.heat, state.demand.use_at_full
    total = cpu.percent if cpu.percent is not None else cpu.own_percent
    own = cpu.own_percent if cpu.own_percent is not None else total
    if total is None or own is None:
        own = total = 100 * state.duty * full
        idle = 1.0
    else:
        idle = max(0.0, 1.0 - max(own, total) / 100)
    used = Load((max(own, total) + (cpu.gpu_percent or 0.0)) / 100, min(own, total) / 100, False, idle, full)
    watts = max(reading.power.watts.values(), default=0.0)  # the input's rail is the largest: it feeds all others
    powered = replace(used, drive=watts, in_watts=True)
    if heat.at_s is None or (watts > 0) == heat.in_watts:
        return powered if watts > 0 else used, 0.0
    since_s = state.other_unit_s + step_s
    if since_s >= _OTHER_UNIT_S:
        return powered if watts > 0 else used, 0.0
    if heat.in_watts:
        powered = replace(powered, drive=max(0.0, heat.drive + heat.drive_per_own * (used.own - heat.own)))
    return powered if heat.in_watts else used, since_s
