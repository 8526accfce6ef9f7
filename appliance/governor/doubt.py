"""What contradicts the sensors: a temperature that no load moves.

Rules of this file:
- A die follows its own load within a minute, whatever fan and housing do. A temperature that stays within half a degree
  although the chip went from idle to work within three minutes, or back, and kept to it, is stuck. Slow changes prove
  nothing: a governor that trims the load as the weather changes holds the temperature still. Nor does steady load,
  except that an idle chip does not stay near its throttling temperature.
- Work is the use of the CPU or the GPU, whichever is higher. More or less work proves nothing while there is work: at a
  power limit, use changes and heat does not. Where power is measured, it is what counts, and no use does.
- Without a measurement of power a contradiction is a suspicion first: the temperature has two more minutes to move.
- A temperature that has not moved since the service started, and is too high for any work, can prove nothing by itself:
  there is no load that could change. So a little work is tried now and then, and less of a change is evidence.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from appliance.governor.slowness import Slowness, follow_speed
from appliance.readings import Power, Reading

_SAME_C = 0.5
"""A stuck sensor stays within this; sensors that work move by a step of theirs, up to 1 °C, as soon as load changes."""
_BIN_S, _BINS, _KEPT, _SWING = 10.0, 18, 4, 0.3
"""A change of use within 18 means of 10 s, which the last four have kept to. A board that warms by 3 °C at full load
moves by 0.9 °C with it."""
_NEW_BINS, _NEW_KEPT, _NEW_SWING = 6, 2, 0.15
"""The same for a temperature that has never moved."""
_NO_WORK = 0.15
"""Use up to this is idle. No power limit of a board is below what this much takes."""
_SWING_RATIO, _SWING_W = 1.4, 1.5
"""A change of measured power that no die bears without a change of temperature."""
_SURE_S, _NEW_SURE_S = 120.0, 20.0
_TRY_AFTER_S, _TRY_EVERY_S, _TRY_S = 60.0, 300.0, 40.0
_IDLE_S, _IDLE_USE, _IDLE_RATIO = 600.0, 0.05, 1.15
_HOT_C, _HOT_BELOW_C = 80.0, 4.0
"""An idle chip this hot, or this close to its throttling temperature if that is higher, for this long. Detection is
stopped then, and no change of load can prove anything; if the sensor does work, it moves as soon as load returns."""
_LONGEST_STEP_S = 30.0


@dataclass(frozen=True, slots=True)
class Doubt:
    """What speaks against the sensors so far."""

    at_s: float | None = None
    low_c: float = float("inf")
    high_c: float = float("-inf")
    since_s: float = 0.0
    """The temperature has stayed between these two since then."""
    uses: tuple[tuple[float, float], ...] = ()
    """Use, 0-1, and power, W, in the last three of these minutes: means of 10 s."""
    sums: tuple[float, float] = (0.0, 0.0)
    sum_s: float = 0.0
    """The means that are not complete yet: use and power times seconds, and seconds."""
    least_w: float = float("inf")
    """The lowest power so far: that of an idle board; infinite where it is not measured."""
    suspected_s: float | None = None
    """Since when the load contradicts the temperature."""
    moved: bool = False
    """Whether the temperature has ever left them."""
    stuck: bool = False
    """Whether the temperature does not follow the load."""
    slowness: Slowness = field(default_factory=Slowness)

    @property
    def slow(self) -> bool:
        """Whether the chip is slower than it should be."""
        return self.slowness.slow


def question(doubt: Doubt, reading: Reading, temp_c: float | None) -> Doubt:
    """Return the doubts after one more reading, whose temperature is believed to be `temp_c`."""
    now_s, percent = reading.at_s, reading.cpu.percent
    step_s = 0.0 if doubt.at_s is None else min(max(now_s - doubt.at_s, 0.0), _LONGEST_STEP_S)
    if doubt.at_s is not None and not step_s:
        return doubt
    doubt = replace(doubt, at_s=now_s, slowness=follow_speed(doubt.slowness, reading, step_s))
    if temp_c is None or percent is None:
        return doubt
    slowed = doubt.slow or _reported(reading.power)
    if _has_moved(doubt, temp_c) or (slowed and not doubt.stuck):
        return replace(
            doubt, low_c=temp_c, high_c=temp_c, since_s=now_s, uses=(), sums=(0.0, 0.0), sum_s=0.0,
            stuck=False, suspected_s=None, moved=doubt.moved or _has_moved(doubt, temp_c),
        )  # fmt: skip
    since_s = doubt.since_s if doubt.high_c >= doubt.low_c else now_s
    doubt = replace(doubt, low_c=min(doubt.low_c, temp_c), high_c=max(doubt.high_c, temp_c), since_s=since_s)
    use = max(percent, reading.cpu.gpu_percent or 0.0) / 100
    return _judge_load(doubt, use, _watts(reading.power), step_s, reading.thermal.passive_temp_c)


def wants_a_try(doubt: Doubt, now_s: float) -> bool:
    """Whether a little work would show if a temperature that has never moved is stuck."""
    still_s = now_s - doubt.since_s - _TRY_AFTER_S
    return not doubt.moved and not doubt.stuck and still_s >= 0 and still_s % _TRY_EVERY_S < _TRY_S


def _has_moved(doubt: Doubt, temp_c: float) -> bool:
    return doubt.low_c <= doubt.high_c and max(doubt.high_c, temp_c) - min(doubt.low_c, temp_c) > _SAME_C


def _judge_load(doubt: Doubt, use: float, watts: float, step_s: float, trip_c: float | None) -> Doubt:
    """Compare the load with a temperature that does not move."""
    sums = (doubt.sums[0] + use * step_s, doubt.sums[1] + watts * step_s)
    total_s = doubt.sum_s + step_s
    if total_s < _BIN_S:
        return replace(doubt, sums=sums, sum_s=total_s)
    mean = (sums[0] / total_s, sums[1] / total_s)
    doubt = replace(
        doubt, uses=(*doubt.uses, mean)[-_BINS:], sums=(0.0, 0.0), sum_s=0.0,
        least_w=min(doubt.least_w, mean[1] or float("inf")),
    )  # fmt: skip
    now_s = doubt.at_s or 0.0
    suspected_s = doubt.suspected_s
    if suspected_s is None and _swung(doubt):
        suspected_s = now_s
    sure_s = 0.0 if watts else _SURE_S if doubt.moved else _NEW_SURE_S
    sure = suspected_s is not None and now_s - suspected_s >= sure_s
    return replace(doubt, suspected_s=suspected_s, stuck=doubt.stuck or sure or _too_hot_to_be_idle(doubt, trip_c))


def _swung(doubt: Doubt) -> bool:
    """Whether the load has changed, and kept to it, while the temperature has not."""
    bins, kept, swing = (_BINS, _KEPT, _SWING) if doubt.moved else (_NEW_BINS, _NEW_KEPT, _NEW_SWING)
    if len(doubt.uses) < bins:
        return False
    uses, watts = ([load[part] for load in doubt.uses[:-kept]] for part in (0, 1))
    uses_now, watts_now = ([load[part] for load in doubt.uses[-kept:]] for part in (0, 1))
    if min(*watts, *watts_now) > 0:
        return _differs(max(watts), max(watts_now)) or _differs(min(watts_now), min(watts))
    ended = max(uses) - max(uses_now) >= swing and max(uses_now) <= _NO_WORK
    return ended or (min(uses_now) - min(uses) >= swing and min(uses) <= _NO_WORK)


def _differs(more_w: float, less_w: float) -> bool:
    return more_w >= _SWING_RATIO * less_w and more_w - less_w >= _SWING_W


def _too_hot_to_be_idle(doubt: Doubt, trip_c: float | None) -> bool:
    hot_c = _HOT_C if trip_c is None else max(_HOT_C, trip_c - _HOT_BELOW_C)
    idle = all(use <= _IDLE_USE and watts <= _IDLE_RATIO * doubt.least_w for use, watts in doubt.uses)
    return doubt.low_c >= hot_c and idle and (doubt.at_s or 0.0) - doubt.since_s >= _IDLE_S


def _watts(power: Power) -> float:
    return max(power.watts.values(), default=0.0)


def _reported(power: Power) -> bool:
    """Whether the board says that it slows the chip."""
    return bool(power.throttled or power.frequency_capped or power.under_voltage)
