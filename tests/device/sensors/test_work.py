"""The piece of work: where cores differ, only the fastest kind is measured."""

from __future__ import annotations

from pathlib import Path

from appliance.device.sensors.work import Work, fast_cpus
from tests.fakes import FakeClock


def cores(root: Path, name: str, values: list[int]) -> Path:
    for number, value in enumerate(values):
        file = root / f"sys/devices/system/cpu/cpu{number}" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")
    return root


def test_the_fastest_kind_of_core_is_known_by_capacity_or_frequency(tmp_path: Path) -> None:
    rock = cores(tmp_path / "rock", "cpu_capacity", [414, 414, 414, 414, 1024, 1024, 1024, 1024])
    assert fast_cpus(rock) == {4, 5, 6, 7}
    hybrid = cores(tmp_path / "hybrid", "cpufreq/cpuinfo_max_freq", [4_700_000, 4_700_000, 3_500_000, 3_500_000])
    assert fast_cpus(hybrid) == {0, 1}
    favoured = cores(tmp_path / "favoured", "cpufreq/cpuinfo_max_freq", [5_000_000, 4_800_000, 4_700_000])
    assert fast_cpus(favoured) == frozenset()
    assert fast_cpus(cores(tmp_path / "pi", "cpu_capacity", [1024] * 4)) == frozenset()
    assert fast_cpus(tmp_path / "nothing") == frozenset()


def test_a_slow_core_is_never_measured() -> None:
    clock, cpu = FakeClock(), [0]
    work = Work(clock, frozenset({4, 5}), lambda: cpu[0], lambda: 0.3 if cpu[0] >= 4 else 0.9)
    assert work.measure() is None
    cpu[0] = 5
    clock.pass_(1.0)
    assert work.measure() == 0.3
    cpu[0] = 1
    for _ in range(5):
        clock.pass_(10.0)
        assert work.measure() == 0.3
    clock.pass_(10.0)
    assert work.measure() is None, "unknown after a minute"


def test_equal_cores_are_measured_wherever_the_work_runs() -> None:
    times = iter([0.5, 0.4, 0.3, 0.4, 0.5, 9.0])
    work = Work(FakeClock(), frozenset(), lambda: 7, lambda: next(times))
    assert work.measure() == 0.3
    assert work.measure() == 0.3


def test_this_machine_is_measured() -> None:
    assert (Work().measure() or 0.0) > 0
    assert Work(fast_cpus=frozenset(range(4096))).measure()
