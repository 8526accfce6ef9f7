"""The heat model: how this board heats up, fitted continuously to its own temperature and CPU use.

Rules of this file:
- Temperature = base + fast * (use, smoothed over 30 s) + slow * (use, smoothed over 5 min). The chip responds within
  seconds, its heat sink and housing within minutes; the base includes air, sun and idle power.
- A Kalman filter (Kalman 1960) estimates the three: the base drifts with the weather, the gains barely change.
- The model only forecasts changes of temperature. The temperature itself comes from the sensor, smoothed over 4 s.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp

FAST_S, SLOW_S = 30.0, 300.0

_NOISE_C = 1.0
"""Standard deviation of one reading: sensors step by 0.5 to 1 °C, and the model is an approximation."""
_DRIFT_C2_S = 0.03**2
_AGEING_C2_S = 0.004**2
_PRIOR_C, _PRIOR_SD_C = (15.0, 20.0), (8.0, 12.0)
"""Fast and slow gain of an unknown board at full use, and their standard deviations."""
_MIN_GAIN_C = 1.0
_MAX_INNOVATION_C = 3.0
"""Limit of the innovation: one outlier is a sensor error, many are a change."""
_SMOOTH_S = 4.0
_TRAIL_S = 20.0
_DRIFT_S = 60.0
_MAX_DRIFT_C_S = 0.05
_DRIFT_HORIZON_S = 120.0
"""A drift is extrapolated for at most this long."""
_TRUSTED_S = 120.0

Vector = tuple[float, float, float]
Matrix = tuple[Vector, Vector, Vector]


@dataclass(frozen=True, slots=True)
class Heat:
    """The model's state; use is 0-1, of all processors together."""

    at_s: float | None = None
    temp_c: float = 0.0
    """Smoothed over 4 s."""
    trail_c: float = 0.0
    """Smoothed over 20 s: above `temp_c` while the chip cools."""
    use: float = 0.0
    own: float = 0.0
    """CPU use by all processes and by this service, smoothed over 4 s."""
    fast: float = 0.0
    slow: float = 0.0
    """Use, smoothed over FAST_S and SLOW_S."""
    gains: Vector = (0.0, *_PRIOR_C)
    """Base (°C), fast and slow (°C at full use)."""
    spread: Matrix = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    """Covariance of the gains."""
    drift_c_s: float = 0.0
    """Rate of change of the base, °C/s, smoothed over a minute."""
    learned_s: float = 0.0

    @property
    def trusted(self) -> bool:
        """Whether it has learned for long enough to forecast."""
        return self.learned_s >= _TRUSTED_S

    @property
    def cooling(self) -> bool:
        """Whether the measured temperature is falling."""
        return self.temp_c < self.trail_c - 0.25

    def rise_c(self, use: float, after_s: float) -> float:
        """Forecast the temperature change after `after_s` seconds at this CPU use, °C."""
        fast = (use - self.fast) * (1 - exp(-after_s / FAST_S))
        slow = (use - self.slow) * (1 - exp(-after_s / SLOW_S))
        return self.gains[1] * fast + self.gains[2] * slow + self.drift_c_s * min(after_s, _DRIFT_HORIZON_S)


def learn(heat: Heat, at_s: float, temp_c: float, use: float, own: float) -> Heat:
    """Update the model with a reading: temperature (°C), CPU use by all processes and by this service (0-1)."""
    if heat.at_s is None:
        gains, spread = _first(temp_c, use)
        return replace(
            heat, at_s=at_s, temp_c=temp_c, trail_c=temp_c, use=use, own=own, fast=use, slow=use, gains=gains,
            spread=spread,
        )  # fmt: skip
    step_s = min(max(at_s - heat.at_s, 0.0), SLOW_S)
    fast = _towards(heat.fast, use, step_s, FAST_S)
    slow = _towards(heat.slow, use, step_s, SLOW_S)
    gains, spread = _correct(heat.gains, _aged(heat.spread, step_s), (1.0, fast, slow), temp_c)
    drift = min(max((gains[0] - heat.gains[0]) / step_s, -_MAX_DRIFT_C_S), _MAX_DRIFT_C_S) if step_s else 0.0
    return Heat(
        at_s=at_s,
        temp_c=_towards(heat.temp_c, temp_c, step_s, _SMOOTH_S),
        trail_c=_towards(heat.trail_c, temp_c, step_s, _TRAIL_S),
        use=_towards(heat.use, use, step_s, _SMOOTH_S),
        own=_towards(heat.own, own, step_s, _SMOOTH_S),
        fast=fast,
        slow=slow,
        gains=gains,
        spread=spread,
        drift_c_s=_towards(heat.drift_c_s, drift, step_s, _DRIFT_S),
        learned_s=heat.learned_s + step_s,
    )


def _towards(value: float, target: float, step_s: float, over_s: float) -> float:
    return target + (value - target) * exp(-step_s / over_s)


def _first(temp_c: float, use: float) -> tuple[Vector, Matrix]:
    """Gains and covariance after the first reading: their sum is known, their parts are those of an unknown board."""
    fast, slow = (sd**2 for sd in _PRIOR_SD_C)
    spread = (
        (_NOISE_C**2 + use**2 * (fast + slow), -use * fast, -use * slow),
        (-use * fast, fast, 0.0),
        (-use * slow, 0.0, slow),
    )
    return (temp_c - use * sum(_PRIOR_C), *_PRIOR_C), spread


def _aged(spread: Matrix, step_s: float) -> Matrix:
    """Increase the uncertainty with time: quickly for the base, slowly for the gains."""
    base, fast, slow = spread
    age = _AGEING_C2_S * step_s
    return (
        (base[0] + _DRIFT_C2_S * step_s, base[1], base[2]),
        (fast[0], fast[1] + age, fast[2]),
        (slow[0], slow[1], slow[2] + age),
    )


def _correct(gains: Vector, spread: Matrix, inputs: Vector, temp_c: float) -> tuple[Vector, Matrix]:
    """Apply one Kalman correction."""
    weights = [sum(row[column] * inputs[column] for column in range(3)) for row in spread]
    variance = sum(inputs[row] * weights[row] for row in range(3)) + _NOISE_C**2
    innovation = temp_c - sum(gain * part for gain, part in zip(gains, inputs, strict=True))
    innovation = min(max(innovation, -_MAX_INNOVATION_C), _MAX_INNOVATION_C)
    moved = [gain + weight / variance * innovation for gain, weight in zip(gains, weights, strict=True)]
    less = [
        [spread[row][column] - weights[row] * weights[column] / variance for column in range(3)] for row in range(3)
    ]
    for one in (1, 2):
        if moved[one] < _MIN_GAIN_C:  # load never cools: shift the others by their covariance
            short = (_MIN_GAIN_C - moved[one]) / less[one][one]
            moved = [gain + less[row][one] * short for row, gain in enumerate(moved)]
    first, second, third = ((row[0], row[1], row[2]) for row in less)
    return (moved[0], max(moved[1], _MIN_GAIN_C), max(moved[2], _MIN_GAIN_C)), (first, second, third)
