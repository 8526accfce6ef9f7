"""Doubts: sensors that the load contradicts, and chips that slow down without saying so."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from appliance.governor.policy import State, decide
from appliance.readings import CoolingDevice, Cpu, Power, Reading, Thermal
from tests.governor.readings import LADDER, POLICY


@dataclass
class Chip:
    """A die on a heat sink: its temperature follows the use of its processors."""

    die_c: float = 10.0
    sink_c: float = 15.0
    air_c: float = 25.0
    step_c: float = 0.5
    use: float = 0.0
    _die: float = 0.0
    _sink: float = 0.0

    def work(self, use: float) -> None:
        self.use = use
        self._die += (use * self.die_c - self._die) / 5.0
        self._sink += (use * self.sink_c - self._sink) / 300.0

    @property
    def temp_c(self) -> float:
        return self.step_c * round((self.air_c + 15.0 + self._die + self._sink) / self.step_c)


def read(at_s: float, temp_c: float | None, use: float, mhz: float | None = None, **others: object) -> Reading:
    cpu = Cpu(at_s, use * 100, use * 100, mhz)
    return replace(Reading(at_s, Thermal(at_s, temp_c), cpu=cpu), **others)  # type: ignore[arg-type]  # fields by name


def run(temp_c: Callable[[int, Chip], float], chip: Chip, seconds: int, idle_s: int = 0) -> list[State]:
    """Run the policy with a full load, after a time without, on a chip whose sensor reports `temp_c`."""
    state, way = State(), []
    for second in range(seconds):
        state, _ = decide(state, read(float(second), temp_c(second, chip), chip.use), POLICY)
        chip.work(0.95 * LADDER.steps[state.cooling].heat if second >= idle_s else 0.02)
        way.append(state)
    return way


@pytest.mark.parametrize("stuck_c", [55.0, 78.0, 95.0])
def test_a_stuck_sensor_is_noticed_and_detection_continues_with_caution(stuck_c: float) -> None:
    way = run(lambda second, chip: stuck_c, Chip(use=0.95), 1200, idle_s=60 if stuck_c < POLICY.target_temp_c else 0)
    assert way[800].belief.doubt.stuck
    assert way[-1].reason == "temperature_unknown"
    assert way[-1].cooling != LADDER.last
    assert LADDER.steps[way[-1].cooling].heat <= 0.5


def test_a_sensor_that_sticks_when_the_load_changes_is_noticed_and_trusted_again_when_it_moves() -> None:
    way = run(lambda second, chip: 78.0 if 300 <= second < 900 else chip.temp_c, Chip(), 1800)
    assert not any(state.belief.doubt.stuck for state in way[:300])
    assert any(state.belief.doubt.stuck for state in way[300:900])
    assert not any(state.belief.doubt.stuck for state in way[910:])
    assert way[-1].cooling == 0


@pytest.mark.parametrize("step_c", [0.1, 0.5, 1.0])
def test_a_working_sensor_is_never_doubted(step_c: float) -> None:
    dice = random.Random(1)
    for _ in range(6):
        chip = Chip(dice.uniform(3.0, 25.0), dice.uniform(2.0, 40.0), dice.uniform(-10.0, 45.0), step_c)
        state, use = State(), 0.0
        for second in range(2400):
            if second % 60 == 0:
                use = dice.choice([0.02, 0.1, 0.3, 0.6, 1.0])
            chip.work(use)
            state, _ = decide(state, read(float(second), chip.temp_c, use, 2400.0), POLICY)
            assert not state.belief.doubt.stuck, chip
            assert not state.belief.doubt.slow, chip


def test_a_stuck_sensor_does_not_hide_that_the_board_throttles() -> None:
    state, levels = State(), []
    for second in range(1500):
        use = 0.02 if second < 200 else 0.95 * LADDER.steps[state.cooling].heat
        power = Power(throttled=LADDER.steps[state.cooling].heat > 0.2 and second > 600)
        state, _ = decide(state, read(float(second), 55.0, use, power=power), POLICY)
        levels.append(state.cooling)
    assert levels[590] == LADDER.cautious()
    assert LADDER.steps[max(levels)].heat <= 0.2
    assert state.blind == "stuck"


def test_a_temperature_alone_proves_nothing() -> None:
    state = State()
    for second in range(10_000, 11_000):
        state, _ = decide(state, Reading(float(second), Thermal(float(second), 50.0)), POLICY)
    assert not state.belief.doubt.stuck


def test_a_load_that_is_trimmed_as_the_weather_changes_proves_nothing() -> None:
    """A good governor holds the temperature still while the sun goes down."""
    state = State()
    for second in range(7200):
        state, _ = decide(state, read(float(second), 74.0, 0.2 + 0.7 * second / 7200, 2400.0), POLICY)
        assert not state.belief.doubt.stuck
    for second in range(7200, 9000):
        state, _ = decide(state, read(float(second), 77.0, 0.08), POLICY)
        assert not state.belief.doubt.stuck


def test_steady_load_proves_nothing() -> None:
    state = State()
    for second in range(3600):
        state, _ = decide(state, read(float(second), 60.0, 0.8), POLICY)
    assert not state.belief.doubt.stuck


def slowdown(later: Callable[[float], Reading], seconds: int = 60, earlier: int = 200) -> list[int]:
    """Levels while `later`, after a time at full speed with a sensor that says 55 °C."""
    state, levels = State(), []
    for second in range(earlier + seconds):
        at_s = float(second)
        now = later(at_s) if second >= earlier else read(at_s, 55.0 + second % 2, 0.95, 2400.0)
        state, _ = decide(state, now, POLICY)
        levels.append(state.cooling)
    assert not any(levels[:earlier])
    return levels[earlier:]


def test_a_clock_that_falls_under_load_counts_as_throttled() -> None:
    levels = slowdown(lambda at_s: read(at_s, 55.0 + at_s % 2, 0.95, 1500.0))
    assert levels[10] == 0
    assert levels[35] == 1


def test_work_that_takes_longer_counts_as_throttled_whatever_clock_the_kernel_reports() -> None:
    def working(at_s: float, work_ms: float) -> Reading:
        now = read(at_s, 55.0 + at_s % 2, 0.95, 2400.0)
        return replace(now, cpu=replace(now.cpu, work_ms=work_ms))

    state = State()
    for second in range(300):
        state, _ = decide(state, working(float(second), 0.3 if second < 200 else 0.5), POLICY)
        assert state.cooling == 0 or second > 210
    assert state.reason == "throttled"


def test_a_cooling_device_that_slows_the_processor_counts_as_throttled() -> None:
    def slowed(name: str) -> Callable[[float], Reading]:
        def later(at_s: float) -> Reading:
            now = read(at_s, 55.0 + at_s % 2, 0.95, 2400.0)
            return replace(now, thermal=replace(now.thermal, cooling=(CoolingDevice(name, 2, 4),)))

        return later

    assert slowdown(slowed("cpufreq-cpu0"))[-1] >= 1
    assert slowdown(slowed("Processor"))[-1] >= 1
    assert slowdown(slowed("pwm-fan"))[-1] == 0


@pytest.mark.parametrize(
    "harmless",
    [
        lambda at_s: read(at_s, 55.0 + at_s % 2, 0.3, 600.0),
        lambda at_s: read(at_s, 55.0 + at_s % 2, 0.95, 2100.0),
        lambda at_s: read(at_s, 55.0 + at_s % 2, 0.95, 2400.0 if at_s % 20 else 600.0),
        lambda at_s: read(at_s, 55.0 + at_s % 2, 0.95, None),
        lambda at_s: replace(
            read(at_s, 55.0 + at_s % 2, 0.95), cpu=Cpu(at_s, 95.0, 95.0, 1500.0, 2400.0, limit_mhz=1500.0)
        ),
    ],
    ids=["idle", "a little slower", "a blip", "unknown", "capped on purpose"],
)
def test_a_low_clock_with_a_reason_is_not_throttling(harmless: Callable[[float], Reading]) -> None:
    assert slowdown(harmless, 120)[-1] == 0


def test_a_short_boost_is_no_reference() -> None:
    state = State()
    for second in range(900):
        boost = second % 300 < 30
        use = 0.1 if second % 300 > 280 else 0.95
        state, _ = decide(state, read(float(second), 55.0 + second % 2, use, 3400.0 if boost else 2000.0), POLICY)
        assert not state.belief.doubt.slow


def test_a_throttled_chip_held_at_its_trip_point_is_not_a_stuck_sensor() -> None:
    state = State()
    for second in range(900):
        use = 0.2 if second < 300 else 0.95
        power = Power(throttled=second >= 300)
        state, _ = decide(state, read(float(second), 80.0, use, power=power), POLICY)
        assert not state.belief.doubt.stuck


def paced(temp_c: Callable[[Chip], float], chip: Chip, seconds: int) -> list[State]:
    """Run the policy from its start, with cameras that send all that the duty allows."""
    state, way = State(), []
    for second in range(seconds):
        state, limits = decide(state, read(float(second), temp_c(chip), chip.use), POLICY)
        chip.work(0.95 * limits.duty)
        way.append(state)
    return way


@pytest.mark.parametrize("stuck_c", [75.5, 79.0, 83.5])
def test_a_sensor_that_is_stuck_above_the_target_before_there_was_any_load_is_noticed(stuck_c: float) -> None:
    way = paced(lambda chip: stuck_c, Chip(), 300)
    assert way[120].belief.doubt.stuck
    assert way[-1].blind == "stuck"
    assert way[-1].cooling == LADDER.cautious()


@pytest.mark.parametrize("step_c", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("air_c", [61.0, 64.0])
def test_a_chip_that_is_too_hot_from_the_start_is_not_doubted_after_a_little_work(step_c: float, air_c: float) -> None:
    way = paced(lambda chip: chip.temp_c, Chip(air_c=air_c, step_c=step_c), 900)
    assert not any(state.belief.doubt.stuck for state in way)
    assert max(state.duty for state in way[120:]) <= 0.31


def test_a_chip_that_has_moved_is_not_made_to_work_in_the_heat() -> None:
    state = State()
    for second in range(900):
        temp_c = 60.0 + min(20.0, second / 10)
        state, _ = decide(state, read(float(second), temp_c, 0.05), POLICY)
    assert state.duty < 0.1


def doubts_of(loads: Callable[[int], tuple[float, float, float | None]], temp_c: float, seconds: int,
              moved: bool = True, passive_c: float | None = None) -> list[bool]:  # fmt: skip
    """Whether a sensor that stays at `temp_c` counts as stuck; `loads`: use of CPU and GPU, 0-1, and power, W."""
    state, stuck = State(), []
    for second in range(seconds):
        use, gpu, watts = loads(second)
        at_s = float(second)
        now = read(
            at_s, temp_c - 2.0 if moved and second == 0 else temp_c, use, power=Power(watts={"in": watts or 0.0})
        )
        now = replace(
            now, thermal=replace(now.thermal, passive_temp_c=passive_c), cpu=replace(now.cpu, gpu_percent=100 * gpu)
        )
        state, _ = decide(state, now, POLICY)
        stuck.append(state.belief.doubt.stuck)
    return stuck


def every(seconds: int, one: float, other: float) -> Callable[[int], float]:
    return lambda second: one if second // seconds % 2 else other


@pytest.mark.parametrize(
    "loads",
    [
        lambda second: (every(480, 0.95, 0.57)(second), 0.0, None),
        lambda second: (every(480, 0.95, 0.05)(second), 0.9, None),
        lambda second: (every(480, 0.95, 0.05)(second), 0.9, 11.0),
        lambda second: (0.02, 0.9, None),
    ],
    ids=["at the power limit", "GPU in use", "power does not change", "idle with a busy GPU"],
)
def test_a_load_that_need_not_change_the_heat_proves_nothing(
    loads: Callable[[int], tuple[float, float, float | None]],
) -> None:
    assert not any(doubts_of(loads, 71.0, 3600))


@pytest.mark.parametrize(
    "loads",
    [
        lambda second: (every(480, 0.95, 0.05)(second), 0.0, None),
        lambda second: (0.1, every(480, 0.95, 0.05)(second), None),
        lambda second: (0.1, 0.0, every(480, 11.0, 5.0)(second)),
    ],
    ids=["CPU", "GPU", "power"],
)
def test_a_sensor_that_ignores_work_of_any_kind_is_stuck(
    loads: Callable[[int], tuple[float, float, float | None]],
) -> None:
    assert any(doubts_of(loads, 71.0, 1200))


def test_an_idle_chip_may_be_as_hot_as_its_housing_but_not_near_its_throttling_temperature() -> None:
    def idle(second: int) -> tuple[float, float, float | None]:
        return 0.02, 0.0, None

    assert not any(doubts_of(idle, 86.0, 1800, passive_c=105.0))
    assert any(doubts_of(idle, 102.0, 1800, passive_c=105.0))
    assert any(doubts_of(idle, 86.0, 1800))


def slow_of(mhz: Callable[[int], float], seconds: int, own: Callable[[int], float] = lambda second: 95.0,
            work_ms: Callable[[int], float | None] = lambda second: None, **power: float) -> list[bool]:  # fmt: skip
    """Whether a busy chip counts as slow, each second."""
    state, slow = State(), []
    for second in range(seconds):
        at_s = float(second)
        cpu = Cpu(at_s, 95.0, own(second), mhz(second), work_ms=work_ms(second))
        now = Reading(at_s, Thermal(at_s, 55.0 + second % 2), cpu=cpu)
        if power:
            now = replace(now, power=Power(watts={"in": power["watts"]}, limit_w=power["limit_w"]))
        state, _ = decide(state, now, POLICY)
        slow.append(state.belief.doubt.slow)
    return slow


def test_a_lower_clock_for_another_kind_of_load_is_not_slow() -> None:
    """The engine's vector code runs at its power limit, a package manager's does not."""
    own = every(1200, 93.0, 5.0)
    assert not any(slow_of(lambda second: 2200.0 if own(second) > 50 else 3400.0, 4800, own))


def test_a_long_boost_is_no_reference_either() -> None:
    assert not any(slow_of(lambda second: 3400.0 if second < 120 else 2000.0, 1200))


def test_a_chip_at_its_power_limit_is_not_slow() -> None:
    clock = every(900, 1900.0, 3400.0)
    assert any(slow_of(clock, 1800))
    assert not any(slow_of(clock, 1800, watts=14.9, limit_w=15.0))


@pytest.mark.parametrize("slower", [1.6, 3.0])
@pytest.mark.parametrize("seed", range(3))
def test_work_on_a_random_core_is_not_slow(slower: float, seed: int) -> None:
    dice = random.Random(seed)
    samples = [0.3 * dice.uniform(0.97, 1.03) * dice.choice((1.0, slower)) for _ in range(361)]
    assert not any(slow_of(lambda second: 2400.0, 3600, work_ms=lambda second: samples[second // 10]))


def test_a_slow_chip_far_below_the_trip_point_is_reported_and_not_throttled() -> None:
    for passive_c, duty in ((100.0, 1.0), (60.0, 0.9)):
        state = State()
        for second in range(400):
            now = read(float(second), 55.0 + second % 2, 0.95, 2400.0 if second < 250 else 1500.0)
            now = replace(now, thermal=replace(now.thermal, passive_temp_c=passive_c))
            state, _ = decide(state, now, POLICY)
        assert state.belief.doubt.slow
        assert (state.duty >= 0.999) == (duty == 1.0)
