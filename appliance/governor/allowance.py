"""How much of the engine's time the board can cool, according to its heat model.

Rules of this file:
- The duty that is allowed now is the largest that keeps the forecast below the target in a minute. Within seconds the
  forecast may exceed the target a little: what a burst of frames heats, the next seconds cool.
- More than now costs what the model doubts: on an unknown board the duty rises carefully. Less than now costs nothing.
- On a busy machine more use by this service takes the place of others', which heats no more.
- Above the target only less load cools: weather that seems to improve must show it first.
- At the target the forecast and the present agree, so the duty settles there without an error that remains.
"""

from __future__ import annotations

from appliance.governor.heat import Heat

_TIERS = ((5.0, 0.8), (20.0, 0.4), (60.0, 0.0))
"""Seconds ahead, and how far above the target the forecast may be then, °C."""
_SPARE = 0.02
_DOUBT = 1.0
_LASTING_S = 900.0
_LASTING_C = 1.0
"""A duty lasts if even the heat sink settles this far below the target."""


def duty_now(heat: Heat, target_c: float, use_at_full: float) -> float:
    """The part of the engine's time that may be used now, 0-1. `use_at_full`: CPU use (0-1) of all of it."""
    return min(_duty(heat, target_c + over_c, after_s, use_at_full) for after_s, over_c in _TIERS)


def lasting_duty(heat: Heat, target_c: float, use_at_full: float) -> float:
    """The part of the engine's time that can be used in this weather for as long as it stays, 0-1."""
    return _duty(heat, target_c - _LASTING_C, _LASTING_S, use_at_full)


def _duty(heat: Heat, limit_c: float, after_s: float, use_at_full: float) -> float:
    room_c = limit_c - heat.temp_c - heat.rise_c(after_s, trusting=heat.temp_c < limit_c)
    effect_c = heat.effect_c(after_s, _DOUBT if room_c > 0 else 0.0)
    more = room_c / max(effect_c, 0.5)
    if more >= heat.idle + _SPARE:
        return 1.0
    own = heat.own + more
    return min(max(own / use_at_full, 0.0), 1.0)
