"""The governor's state in plain words: what a throttle level means, and why it changed."""

from __future__ import annotations

from appliance.governor import memory
from appliance.governor.ladder import Ladder, Step
from appliance.governor.policy import State
from appliance.readings import Reading

NO_SENSOR = (
    "no temperature sensor found: the device runs at full performance and cannot slow down before it overheats; "
    "keep its housing cool"
)


def meaning(step: Step) -> str:
    """Describe what a throttle level allows."""
    if not step.limits.admit:
        return "detection off; health endpoint only"
    if step.heat == 1.0:
        return f"full performance, input {step.limits.max_side} px"
    frames = "all frames" if step.frames == 1.0 else f"{step.frames:.0%} of frames"
    only = (
        f", cameras with priority {step.limits.lowest_priority} or higher only" if step.limits.lowest_priority else ""
    )
    return f"input {step.limits.max_side} px, {frames}{only}"


def cause(state: State, reading: Reading, target_c: float) -> str:
    """Explain why the device is at its throttle level, as a phrase without a full stop."""
    temp = reading.thermal.soc_temp_c
    shown = "unknown" if temp is None else f"{temp:.0f} °C"
    if state.reason == "critical_temperature":
        cooled = temp is not None and temp < target_c
        return f"the chip overheated and is now at {shown}" if cooled else f"the chip is too hot ({shown})"
    if state.reason == "temperature":
        return f"chip temperature {shown}, target below {target_c:.0f} °C{_why_target(state, reading, target_c)}"
    if state.reason == "throttled":
        return f"the board is throttling its chip ({shown}); check the cooling and the power supply"
    if state.reason == "under_voltage":
        return "under-voltage; use the board's own power supply and a short cable"
    if state.reason == "temperature_unknown" and reading.doubts.stuck_temp_c is not None:
        return f"the temperature sensor is stuck at {reading.doubts.stuck_temp_c:.0f} °C, so the load is reduced"
    if state.reason == "temperature_unknown":
        return (
            "the temperature sensor stopped responding, so the load is reduced; restart the device, and check the "
            "sensor if this persists"
        )
    if state.reason == "held":
        return "held manually"
    if state.reason == "recovering":
        return f"recovering to level 0, chip temperature {shown}"
    return f"chip temperature {shown}" if temp is not None else "no problems"


def _why_target(state: State, reading: Reading, target_c: float) -> str:
    passive = reading.thermal.passive_temp_c
    if state.cap.ceiling_c <= target_c:
        return " because the board throttled its chip there"
    if passive is not None and passive > target_c > passive - 3:
        return f" because the board throttles at {passive:.0f} °C"
    return ""


def shortage(state: State) -> str | None:
    """Describe what is reduced because memory is short; None: nothing."""
    return memory.STAGES[state.shortage.stage] if state.shortage.stage else None


def change(before: State, after: State, reading: Reading, ladder: Ladder, target_c: float) -> str | None:
    """Return the log line for a change of state; None: nothing worth logging changed."""
    lines = []
    if after.cooling != before.cooling:
        lines.append(
            f"throttle level {before.cooling} -> {after.cooling} of {ladder.last} "
            f"({meaning(ladder.steps[after.cooling])}): {cause(after, reading, target_c)}"
        )
    if after.shortage.stage != before.shortage.stage:
        room = memory.room_bytes(reading.memory)
        left = "" if room is None else f", {room // 1_000_000} MB available"
        lines.append(f"memory: {memory.STAGES[after.shortage.stage]}{left}")
    if after.blind == "no_sensor" and before.blind != after.blind:
        lines.append(NO_SENSOR)
    return "; ".join(lines) or None
