"""The governor in the words of a technician: what a state means, and why it has changed."""

from __future__ import annotations

from appliance.governor import memory
from appliance.governor.ladder import Ladder, Step
from appliance.governor.policy import State
from appliance.readings import Reading

NO_SENSOR = (
    "this machine has no temperature sensor: it works at full and cannot slow down before it gets hot; "
    "see that its housing stays cool"
)


def meaning(step: Step) -> str:
    """What a cooling state does to the cameras."""
    if not step.limits.admit:
        return "no frames; the box only answers that it is there"
    if step.heat == 1.0:
        return f"full work, input {step.limits.max_side} px"
    frames = "all frames" if step.frames == 1.0 else f"{step.frames:.0%} of the frames"
    only = f", only cameras of priority {step.limits.lowest_priority} and more" if step.limits.lowest_priority else ""
    return f"input {step.limits.max_side} px, {frames}{only}"


def cause(state: State, reading: Reading, target_c: float) -> str:
    """Why the box is in its state, as the start of a sentence."""
    temp = reading.thermal.soc_temp_c
    shown = "unknown" if temp is None else f"{temp:.0f} °C"
    if state.reason == "critical_temperature":
        cooled = temp is not None and temp < target_c
        return f"the chip was too hot and is at {shown} now" if cooled else f"the chip is too hot ({shown})"
    if state.reason == "temperature":
        return f"the chip is at {shown}, to be kept below {target_c:.0f} °C"
    if state.reason == "throttled":
        return f"the board slows its chip down ({shown}); look at its cooling and its supply"
    if state.reason == "under_voltage":
        return "the supply's voltage is too low; use the board's own supply and a short cable"
    if state.reason == "temperature_unknown":
        return (
            "the temperature sensor has fallen silent, so the box is careful; restart it, and check it if it stays so"
        )
    if state.reason == "held":
        return "a technician holds this state"
    return f"the chip is at {shown}" if temp is not None else "nothing is wrong"


def shortage(state: State) -> str | None:
    """What is given up for want of memory; None: nothing."""
    return memory.STAGES[state.shortage.stage] if state.shortage.stage else None


def change(before: State, after: State, reading: Reading, ladder: Ladder, target_c: float) -> str | None:
    """The log's line about a step from one state to another; None: nothing worth one has changed."""
    lines = []
    if after.cooling != before.cooling:
        way = "down" if after.cooling > before.cooling else "up"
        lines.append(
            f"{way} to cooling state {after.cooling} of {ladder.last} ({meaning(ladder.steps[after.cooling])}): "
            f"{cause(after, reading, target_c)}"
        )
    if after.shortage.stage != before.shortage.stage:
        room = memory.room_bytes(reading.memory)
        left = "" if room is None else f", {room // 1_000_000} MB left"
        lines.append(f"memory: {memory.STAGES[after.shortage.stage]}{left}")
    if after.blind == "no_sensor" and before.blind != after.blind:
        lines.append(NO_SENSOR)
    return "; ".join(lines) or None
