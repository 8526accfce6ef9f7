"""How this board heats up: a small model, fitted all the time from its own temperature and its own work.

Rules of this file:
- Temperature = base + fast * (use, smoothed over half a minute) + slow * (use, smoothed over five minutes). The chip
  answers within seconds, its heat sink and housing within minutes; the base holds the air, the sun and what idles.
- The three are found by a Kalman filter (Kalman 1960): the base may drift with the weather, the gains hardly.
- It only ever forecasts a change: the temperature itself is the sensor's, smoothed over a few seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp

FAST_S, SLOW_S = 30.0, 300.0

_NOISE_C = 1.0
"""Of one reading: sensors step by 0.5 to 1 °C, and the model is not the board."""
_DRIFT_C2_S = 0.03**2
_AGEING_C2_S = 0.004**2
_PRIOR_C, _PRIOR_SD_C = (15.0, 20.0), (8.0, 12.0)
"""Fast and slow, at full use, of a board that was never seen, and how far it may be off."""
_LEAST_GAIN_C = 1.0
_MOST_SURPRISE_C = 3.0
"""One reading far off is an error of the sensor, many are news."""
_SMOOTH_S = 4.0
_TRAIL_S = 20.0
_DRIFT_S = 60.0
_MOST_DRIFT_C_S = 0.05
_DRIFTS_S = 120.0
"""A drift is believed for so long."""
_TRUSTED_S = 120.0

Vector = tuple[float, float, float]
Matrix = tuple[Vector, Vector, Vector]


@dataclass(frozen=True, slots=True)
class Heat:
    """What is known of the board's heating; use is 0-1, of all processors together."""

    at_s: float | None = None
    temp_c: float = 0.0
    """Smoothed over 4 s."""
    trail_c: float = 0.0
    """Smoothed over 20 s: above `temp_c` while it cools."""
    use: float = 0.0
    own: float = 0.0
    """Smoothed over 4 s: of everybody, and of this service."""
    fast: float = 0.0
    slow: float = 0.0
    """Use, smoothed over FAST_S and SLOW_S."""
    gains: Vector = (0.0, *_PRIOR_C)
    """Base (°C), fast and slow (°C at full use)."""
    spread: Matrix = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    """How far they may be off: their covariance."""
    drift_c_s: float = 0.0
    """How fast the base moves, °C/s, smoothed over a minute."""
    seen_s: float = 0.0

    @property
    def trusted(self) -> bool:
        """It has seen enough to be asked."""
        return self.seen_s >= _TRUSTED_S

    @property
    def cooling(self) -> bool:
        """The temperature falls, as measured."""
        return self.temp_c < self.trail_c - 0.25

    def rise_c(self, use: float, after_s: float) -> float:
        """How much warmer it will be after so long with this use of the processors; negative: cooler."""
        fast = (use - self.fast) * (1 - exp(-after_s / FAST_S))
        slow = (use - self.slow) * (1 - exp(-after_s / SLOW_S))
        return self.gains[1] * fast + self.gains[2] * slow + self.drift_c_s * min(after_s, _DRIFTS_S)


def learn(heat: Heat, at_s: float, temp_c: float, use: float, own: float) -> Heat:
    """The model after one more reading: temperature (°C), use of the processors by all and by this service (0-1)."""
    if heat.at_s is None:
        gains, spread = _first(temp_c, use)
        return replace(
            heat, at_s=at_s, temp_c=temp_c, trail_c=temp_c, use=use, own=own, fast=use, slow=use, gains=gains,
            spread=spread,
        )  # fmt: skip
    step_s = min(max(at_s - heat.at_s, 0.0), SLOW_S)
    fast = _towards(heat.fast, use, step_s, FAST_S)
    slow = _towards(heat.slow, use, step_s, SLOW_S)
    gains, spread = _correct(heat.gains, _grown(heat.spread, step_s), (1.0, fast, slow), temp_c)
    drift = min(max((gains[0] - heat.gains[0]) / step_s, -_MOST_DRIFT_C_S), _MOST_DRIFT_C_S) if step_s else 0.0
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
        seen_s=heat.seen_s + step_s,
    )


def _towards(value: float, target: float, step_s: float, over_s: float) -> float:
    return target + (value - target) * exp(-step_s / over_s)


def _first(temp_c: float, use: float) -> tuple[Vector, Matrix]:
    """After one reading the sum is known, and its parts as well as they are of any board."""
    fast, slow = (sd**2 for sd in _PRIOR_SD_C)
    spread = (
        (_NOISE_C**2 + use**2 * (fast + slow), -use * fast, -use * slow),
        (-use * fast, fast, 0.0),
        (-use * slow, 0.0, slow),
    )
    return (temp_c - use * sum(_PRIOR_C), *_PRIOR_C), spread


def _grown(spread: Matrix, step_s: float) -> Matrix:
    """What was known grows old: the weather quickly, the board slowly."""
    base, fast, slow = spread
    age = _AGEING_C2_S * step_s
    return (
        (base[0] + _DRIFT_C2_S * step_s, base[1], base[2]),
        (fast[0], fast[1] + age, fast[2]),
        (slow[0], slow[1], slow[2] + age),
    )


def _correct(gains: Vector, spread: Matrix, seen: Vector, temp_c: float) -> tuple[Vector, Matrix]:
    """One Kalman correction by one temperature."""
    weights = [sum(row[column] * seen[column] for column in range(3)) for row in spread]
    certainty = sum(seen[row] * weights[row] for row in range(3)) + _NOISE_C**2
    surprise = temp_c - sum(gain * part for gain, part in zip(gains, seen, strict=True))
    surprise = min(max(surprise, -_MOST_SURPRISE_C), _MOST_SURPRISE_C)
    moved = [gain + weight / certainty * surprise for gain, weight in zip(gains, weights, strict=True)]
    less = [
        [spread[row][column] - weights[row] * weights[column] / certainty for column in range(3)] for row in range(3)
    ]
    for one in (1, 2):
        if moved[one] < _LEAST_GAIN_C:  # work never cools: the others give way as far as they hang together with it
            short = (_LEAST_GAIN_C - moved[one]) / less[one][one]
            moved = [gain + less[row][one] * short for row, gain in enumerate(moved)]
    first, second, third = ((row[0], row[1], row[2]) for row in less)
    return (moved[0], max(moved[1], _LEAST_GAIN_C), max(moved[2], _LEAST_GAIN_C)), (first, second, third)
