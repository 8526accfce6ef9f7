"""The heat model: how this board heats up, fitted continuously to its own temperature and load.

Rules of this file:
- Load is everything that heats: CPU time of this service and of others, and the GPU. Where the board measures its
  power, the load is that power, which includes the NPU and everything else.
- Temperature = base + the sum over `LAGS_S` of a gain times the load, smoothed over that lag: the die responds within
  seconds, the chip within half a minute, the heat sink within minutes. The base includes air, sun, housing, and idle
  power.
- A Kalman filter (Kalman 1960) estimates base and gains: the base drifts with the weather, the gains barely change.
- The model forecasts changes of temperature. The temperature itself comes from the sensor; the model only fills the
  seconds that smoothing the sensor would cost, and those in which the sensor does not respond.
- Of two errors the one towards warmth is made: what smoothing a rise without a known cause would cost is added.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from math import exp, sqrt

LAGS_S = (3.0, 25.0, 250.0)
_N = len(LAGS_S) + 1

_NOISE_C = 1.0
"""Standard deviation of one reading: sensors step by 0.5 to 1 °C, and the model is an approximation."""
_DRIFT_C2_S = 0.03**2
_AGEING_2_S = 0.0003**2
"""Ageing of a gain, relative to its prior uncertainty, per second."""
_PRIOR, _PRIOR_SD = (4.0, 8.0, 14.0), (5.0, 7.0, 11.0)
"""Gains of an unknown board at full CPU use, °C, and their standard deviations."""
_MAX_INNOVATION_C = 3.0
"""Limit of the innovation: one outlier is a sensor error, many are a change."""
_QUICK_C, _QUICK_S = 4.0, 3.0
"""What the model misses by more than this is followed more quickly: it is no noise."""
_MAX_WRONG_C = 20.0
_BEHIND_C = 0.4
"""Steps and noise of a sensor look like a rise of so much."""
_SMOOTH_S, SUDDEN, _AT_ONCE_S = 2.0, 0.2, 0.01
"""Load is smoothed over the first time, unless others' use of the CPU has changed by the second."""
_RESIDUE_S = 10.0
_TRAIL_S = 20.0
_DRIFT_S = 60.0
_MAX_DRIFT_C_S = 0.03
_DRIFT_HORIZON_S = 60.0
"""A drift is extrapolated for at most this long."""
_SURGE_S, _SURGE_HORIZON_S = 15.0, 20.0
_CALM_C_S, _MAX_SURGE_C_S = 0.06, 0.6
"""What rises faster than this without a cause that the model knows is a fan that fails, and no noise."""
_FULL_W = 10.0
"""Power of full load on an unknown board that measures its power, W."""
_LEAST_C, _COLD_C = -40.0, 0.0
"""No board works in air colder than the first; few in air colder than the second."""
_FORGET_S = 1200.0
_PRIOR_WEIGHT = 0.5
_LONGEST_STEP_S = 300.0

Vector = tuple[float, ...]
Matrix = tuple[Vector, ...]


@dataclass(frozen=True, slots=True)
class Load:
    """What heats the board at one moment."""

    drive: float
    """All of it: W if `in_watts`, else CPU and GPU use, 1 each at full use."""
    own: float
    """CPU use of this service, 0-1."""
    in_watts: bool = False
    idle: float = 1.0
    """CPU time that nobody uses, 0-1. More than that by this service takes the place of others', and heats no more."""
    full: float = 1.0
    """CPU use of this service when the engine works all the time, 0-1: little where a GPU does the work."""


@dataclass(frozen=True, slots=True)
class Heat:
    """The model's state."""

    at_s: float | None = None
    in_watts: bool = False
    temp_c: float = 0.0
    """The sensor, smoothed without delaying what the load explains."""
    residue_c: float = 0.0
    behind_c: float = 0.0
    """How far smoothing has been behind the sensor, °C: more than its noise while it rises without a known cause."""
    trail_c: float = 0.0
    """Temperature smoothed over 20 s: above `temp_c` while the chip cools."""
    drive: float = 0.0
    own: float = 0.0
    """Load, smoothed over 2 s."""
    idle: float = 1.0
    full: float = 1.0
    lags: Vector = (0.0,) * len(LAGS_S)
    """Load, smoothed over LAGS_S."""
    gains: Vector = (0.0, *_PRIOR)
    """Base (°C), and °C per unit of load for each lag."""
    spread: Matrix = ()
    """Covariance of the gains."""
    drift_c_s: float = 0.0
    """Rate of change of the base, °C/s, smoothed over a minute."""
    surge_c_s: float = 0.0
    """Rate of what the model does not explain at all, °C/s, smoothed over some seconds."""
    trails: tuple[float, float] = (0.0, 0.0)
    """Drive and own load, smoothed over 20 s."""
    moments: tuple[float, float] = (0.0, 0.0)
    """Sums of own·drive and own·own, of their distances from the trails."""

    @property
    def cooling(self) -> bool:
        """Whether the measured temperature is falling."""
        return self.temp_c < self.trail_c - 0.25

    @property
    def lately_c(self) -> float:
        """The temperature of the last seconds, the higher end of it."""
        return max(self.temp_c, self.trail_c)

    @property
    def drive_per_own(self) -> float:
        """Load that full CPU use of this service adds."""
        prior = _FULL_W if self.in_watts else 1.0
        weight = _PRIOR_WEIGHT * self.full**2
        both, own = self.moments
        found = (both + weight * prior / self.full) / (own + weight)
        return max(found, 0.2 * prior) if self.in_watts else max(found, 1.0)

    @property
    def others(self) -> float:
        """CPU use by other programs, 0-1."""
        return _others(self.idle, self.own)

    def rise_c(self, after_s: float, *, trusting: bool = True) -> float:
        """Forecast the temperature change after `after_s` seconds at the present load, °C. `trusting`: a base that has
        been falling is expected to go on."""
        surge = min(max(self.surge_c_s - _CALM_C_S, 0.0), _MAX_SURGE_C_S)
        drift = self.drift_c_s if trusting else max(self.drift_c_s, 0.0)
        rise = drift * min(after_s, _DRIFT_HORIZON_S) + surge * min(after_s, _SURGE_HORIZON_S)
        for gain, lag, share in zip(self.gains[1:], self.lags, _shares(after_s), strict=True):
            rise += gain * (self.drive - lag) * share
        return rise

    def effect_c(self, after_s: float, doubt: float = 0.0) -> float:
        """Forecast what full CPU use of this service more would add to that, °C; `doubt`: that many standard
        deviations more than expected."""
        shares = _shares(after_s)
        expected = sum(gain * share for gain, share in zip(self.gains[1:], shares, strict=True))
        if doubt:
            inner = (
                share * sum(part * other for part, other in zip(row[1:], shares, strict=True))
                for share, row in zip(shares, self.spread[1:], strict=True)
            )
            expected += doubt * sqrt(max(sum(inner), 0.0))
        return expected * self.drive_per_own


def _others(idle: float, own: float) -> float:
    return max(0.0, 1.0 - idle - own)


@lru_cache(maxsize=16)
def _shares(after_s: float) -> Vector:
    """The part of a change of load that each lag has followed after this time, 0-1."""
    return tuple(1 - exp(-after_s / lag_s) for lag_s in LAGS_S)


def learn(heat: Heat, at_s: float, temp_c: float | None, load: Load) -> Heat:
    """Update the model with a reading; without a temperature (None) it goes on by the load alone."""
    if heat.at_s is None or heat.in_watts != load.in_watts:
        return heat if temp_c is None else _first(at_s, temp_c, load)
    step_s = min(max(at_s - heat.at_s, 0.0), _LONGEST_STEP_S)
    lags = tuple(towards(lag, load.drive, step_s, lag_s) for lag, lag_s in zip(heat.lags, LAGS_S, strict=True))
    inputs = (1.0, *lags)
    gains, spread = heat.gains, _aged(heat.spread, step_s, heat.in_watts)
    if temp_c is not None:
        gains, spread = _correct(gains, spread, inputs, temp_c)
        if gains[0] < _LEAST_C:
            return _first(at_s, temp_c, load)
    expected_c = sum(gain * part for gain, part in zip(gains, inputs, strict=True))
    if temp_c is None:
        temp_c = expected_c + heat.residue_c
    wrong_c = min(max(temp_c - expected_c - heat.residue_c, -_MAX_WRONG_C), _MAX_WRONG_C)
    over_s = _RESIDUE_S if abs(wrong_c) < _QUICK_C else _QUICK_S
    residue_c = towards(heat.residue_c, heat.residue_c + wrong_c, step_s, over_s)
    behind_c = towards(heat.behind_c, wrong_c, step_s, _RESIDUE_S)
    now_c = expected_c + residue_c + max(0.0, behind_c - _BEHIND_C)
    drift = min(max((gains[0] - heat.gains[0]) / step_s, -_MAX_DRIFT_C_S), _MAX_DRIFT_C_S) if step_s else 0.0
    surge = (gains[0] + residue_c - heat.gains[0] - heat.residue_c) / step_s if step_s else 0.0
    sudden = not load.in_watts and abs(_others(load.idle, load.own) - heat.others) > SUDDEN
    smooth_s = _AT_ONCE_S if sudden else _SMOOTH_S
    drive, own = towards(heat.drive, load.drive, step_s, smooth_s), towards(heat.own, load.own, step_s, smooth_s)
    trails = (towards(heat.trails[0], drive, step_s, _TRAIL_S), towards(heat.trails[1], own, step_s, _TRAIL_S))
    more, kept = own - trails[1], exp(-step_s / _FORGET_S)
    moments = (
        heat.moments[0] * kept + more * (drive - trails[0]) * step_s,
        heat.moments[1] * kept + more * more * step_s,
    )
    return replace(
        heat, at_s=at_s, temp_c=now_c, residue_c=residue_c, trail_c=towards(heat.trail_c, now_c, step_s, _TRAIL_S),
        drive=drive, own=own, idle=towards(heat.idle, load.idle, step_s, smooth_s), full=load.full, lags=lags,
        gains=gains, spread=spread, behind_c=behind_c,
        drift_c_s=towards(heat.drift_c_s, drift, step_s, _DRIFT_S),
        surge_c_s=towards(heat.surge_c_s, surge, step_s, _SURGE_S), trails=trails, moments=moments,
    )  # fmt: skip


def towards(value: float, target: float, step_s: float, over_s: float) -> float:
    """Smooth a value: one step of an exponential moving average."""
    return target + (value - target) * exp(-step_s / over_s)


def _first(at_s: float, temp_c: float, load: Load) -> Heat:
    """The model after the first reading: the sum of its parts is known, the parts are those of an unknown board. Load
    that would be too much in any air has not been there for long."""
    scale = 1 / _FULL_W if load.in_watts else 1.0
    gains = [gain * scale for gain in _PRIOR]
    variances = [(sd * scale) ** 2 for sd in _PRIOR_SD]
    past = min(load.drive, max(temp_c - _COLD_C, 0.0) / sum(gains))
    spread = [[0.0] * _N for _ in range(_N)]
    spread[0][0] = _NOISE_C**2 + past**2 * sum(variances)
    for number, variance in enumerate(variances, 1):
        spread[number][number] = variance
        spread[0][number] = spread[number][0] = -past * variance
    return Heat(
        at_s=at_s, in_watts=load.in_watts, temp_c=temp_c, trail_c=temp_c, drive=load.drive, own=load.own,
        idle=load.idle, full=load.full, lags=(past,) * len(LAGS_S),
        gains=(temp_c - past * sum(gains), *gains), spread=tuple(tuple(row) for row in spread),
        trails=(load.drive, load.own),
    )  # fmt: skip


def _aged(spread: Matrix, step_s: float, in_watts: bool) -> Matrix:
    """Increase the uncertainty with time: quickly for the base, slowly for the gains."""
    scale = 1 / _FULL_W if in_watts else 1.0
    aged = [list(row) for row in spread]
    aged[0][0] += _DRIFT_C2_S * step_s
    for number, sd in enumerate(_PRIOR_SD, 1):
        aged[number][number] += _AGEING_2_S * (sd * scale) ** 2 * step_s
    return tuple(tuple(row) for row in aged)


def _correct(gains: Vector, spread: Matrix, inputs: Vector, temp_c: float) -> tuple[Vector, Matrix]:
    """Apply one Kalman correction."""
    every = range(_N)
    weights = [sum(row[column] * inputs[column] for column in every) for row in spread]
    variance = sum(inputs[row] * weights[row] for row in every) + _NOISE_C**2
    innovation = temp_c - sum(gain * part for gain, part in zip(gains, inputs, strict=True))
    innovation = min(max(innovation, -_MAX_INNOVATION_C), _MAX_INNOVATION_C)
    moved = [gain + weight / variance * innovation for gain, weight in zip(gains, weights, strict=True)]
    less = [[spread[row][column] - weights[row] * weights[column] / variance for column in every] for row in every]
    for one in range(1, _N):
        if moved[one] < 0.0 and less[one][one] > 0:  # load never cools: shift the others by their covariance
            short = -moved[one] / less[one][one]
            moved = [gain + less[row][one] * short for row, gain in enumerate(moved)]
    return (moved[0], *(max(gain, 0.0) for gain in moved[1:])), tuple(tuple(row) for row in less)
