"""The history's file: what was saved is read again, what is damaged is set aside, and a bad disk harms nothing."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.device.state import StateFolder, open_folder
from appliance.health import history_file
from appliance.health.history import COLUMNS, ROW, SLOTS, History, Rows, as_json
from appliance.health.history_file import HEADER, Loaded, load, save
from appliance.health.recorder import Look, Recorder
from appliance.health.trends import Counts
from appliance.health.watch import Watch
from appliance.readings import Cpu, Reading
from tests.fakes import FakeClock

NOW = 180_000_000


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """The disk of these tests is real, and so is their loop's time."""
    return "asyncio"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[StateFolder]:
    with open_folder(tmp_path / "state") as opened:
        yield opened


@pytest.fixture
def path(folder: StateFolder) -> Path:
    """A file with an hour in it."""
    assert folder.path is not None
    there = folder.path / history_file.NAME
    save(there, *filled().take_unsaved(SLOTS))
    return there


def filled(count: int = 360, first: int = NOW - 360) -> History:
    history = History()
    for step in range(first, first + count):
        history.put(step, [float(step % 50)] * len(COLUMNS))
    return history


def hour(rows: Rows) -> list[float | None]:
    values: list[float | None] = as_json(History(rows).excerpt("hour", NOW * 10))["columns"]["cpu_percent"]
    return values


def test_what_was_saved_is_read_again(folder: StateFolder, path: Path) -> None:
    loaded = load(folder)
    assert (loaded.path, loaded.problem, loaded.set_aside) == (path, None, None)
    assert hour(loaded.rows) == [float(step % 50) for step in range(NOW - 360, NOW)]
    assert path.stat().st_size == len(HEADER) + SLOTS * ROW.itemsize == 414_784


def test_a_save_writes_only_the_new_rows(path: Path) -> None:
    before = path.read_bytes()
    save(path, *filled(6, NOW).take_unsaved(SLOTS))
    after = path.read_bytes()
    changed = [number for number, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    assert 0 < max(changed) - min(changed) < 6 * ROW.itemsize


def test_rows_at_both_ends_of_the_ring_are_saved_together(folder: StateFolder, path: Path) -> None:
    save(path, *filled(6, NOW // SLOTS * SLOTS - 3).take_unsaved(SLOTS))
    steps = load(folder).rows["step"]
    assert set(range(NOW // SLOTS * SLOTS - 3, NOW // SLOTS * SLOTS + 3)) <= set(steps.tolist())


def test_no_file_is_an_empty_history_and_the_first_save_makes_one(folder: StateFolder) -> None:
    loaded = load(folder)
    assert not loaded.rows["step"].any()
    assert (loaded.problem, loaded.set_aside) == (None, None)
    assert loaded.path is not None
    save(loaded.path, *filled().take_unsaved(SLOTS))
    assert hour(load(folder).rows)[-1] == float((NOW - 1) % 50)


@pytest.mark.parametrize("written", [0, 1, 47, 100, 287, 288])
def test_a_power_cut_within_a_save_costs_that_minute_at_most(written: int, folder: StateFolder, path: Path) -> None:
    """The bytes of a minute got so far and no further."""
    slots, rows = filled(6, NOW + 1).take_unsaved(SLOTS)
    data, place = rows.tobytes(), len(HEADER) + int(slots[0]) * ROW.itemsize
    with path.open("r+b") as file:
        file.seek(place)
        file.write(data[:written])
    loaded = load(folder)
    assert loaded.set_aside is None
    assert hour(loaded.rows) == [float(step % 50) for step in range(NOW - 360, NOW)]
    assert np.count_nonzero(loaded.rows["step"]) == 360 + written // ROW.itemsize


def test_a_torn_page_is_a_gap(folder: StateFolder, path: Path) -> None:
    first = len(HEADER) + (NOW - 100) % SLOTS * ROW.itemsize
    with path.open("r+b") as file:
        file.seek(first)
        file.write(b"\xff" * 2400)
    loaded = load(folder)
    assert loaded.set_aside is None
    assert hour(loaded.rows)[-100:-50] == [None] * 50
    assert hour(loaded.rows)[-50] is not None


DAMAGE = {
    "empty": b"",
    "text": b"hello",
    "truncated": HEADER + bytes(1000),
    "foreign": os.urandom(414_784),
    "another version": HEADER.replace(b"history 1", b"history 2") + bytes(SLOTS * ROW.itemsize),
    "garbled": HEADER + b"\xa5" * (SLOTS * ROW.itemsize),
    "longer": HEADER + bytes(SLOTS * ROW.itemsize + 1),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_is_no_history_is_set_aside_and_told(
    name: str, folder: StateFolder, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(DAMAGE[name])
    loaded = load(folder)
    assert loaded.set_aside == "history.corrupt-1"
    assert path.with_name("history.corrupt-1").read_bytes() == DAMAGE[name]
    assert not path.exists()
    assert not loaded.rows["step"].any()
    assert "history.corrupt-1" in caplog.text
    save(path, *filled().take_unsaved(SLOTS))
    assert load(folder).set_aside is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 414_783), st.binary(min_size=1, max_size=64)), min_size=1, max_size=8))
def test_no_damage_raises_or_makes_up_a_value(folder: StateFolder, path: Path, damage: list[tuple[int, bytes]]) -> None:
    path.unlink(missing_ok=True)
    save(path, *filled().take_unsaved(SLOTS))
    data = bytearray(path.read_bytes())
    for place, noise in damage:
        data[place : place + len(noise)] = noise[: len(data) - place]
    path.write_bytes(data)
    right = {step: float(step % 50) for step in range(NOW - 360, NOW)}
    for row in load(folder).rows:
        if row["step"]:
            assert set(row["values"].tolist()) == {right[int(row["step"])]}


def test_a_folder_in_its_place_is_set_aside_too(folder: StateFolder, path: Path) -> None:
    path.unlink()
    path.mkdir()
    assert load(folder).set_aside == "history.corrupt-1"


def test_a_link_in_its_place_is_not_written_through(folder: StateFolder, path: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(precious)
    with pytest.raises(OSError, match="symbolic"):
        save(path, *filled(6, NOW).take_unsaved(SLOTS))


def test_without_a_folder_of_its_own_nothing_is_kept(folder: StateFolder) -> None:
    assert load(None).path is None
    assert folder.path is not None
    second = load(open_folder(folder.path))
    assert (second.path, second.taken) == (None, True)
    assert second.problem is not None


# -- the service that saves ------------------------------------------------------------------------------------------


def watch_of(loaded: Loaded, clock: FakeClock) -> Watch:
    recorder = Recorder(History(loaded.rows), latency_bounds_s=(1.0,), clock=clock, wall_clock=clock)
    return Watch(loaded, recorder, clock=clock, period_s=0.001)


def seeing(clock: FakeClock) -> Look:
    """One look, a second after the last."""
    clock.pass_(1)
    return Look(Reading(clock.now_s, cpu=Cpu(percent=9)), Counts(clock.now_s, latency_counts=(0, 0)), 0, 1, "ok")


async def run(watch: Watch, clock: FakeClock, looks: int) -> None:
    """Let it look so many times."""
    enough = asyncio.Event()
    left = looks

    def look() -> Look:
        nonlocal left
        left -= 1
        if left <= 0:
            enough.set()
        return seeing(clock)

    task = asyncio.create_task(watch.run(look))
    await enough.wait()
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def test_a_restart_forgets_nothing_but_the_last_unfinished_row(folder: StateFolder) -> None:
    clock = FakeClock(NOW * 10.0)
    await run(watch_of(load(folder), clock), clock, 95)
    again = watch_of(load(folder), clock)
    values = as_json(again.history.excerpt("hour", clock.now_s + 10))["columns"]["cpu_percent"]
    assert [value for value in values if value is not None] == [9.0] * 9
    assert again.kept.problem is None


@contextmanager
def full_disk(limit_bytes: int) -> Iterator[None]:
    """No file may grow beyond this: a write fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, former)


async def test_a_full_disk_is_told_and_what_it_did_not_take_is_saved_when_it_can(folder: StateFolder) -> None:
    clock = FakeClock(NOW * 10.0)
    watch = watch_of(load(folder), clock)
    with full_disk(1000):
        await run(watch, clock, 45)
        assert watch.kept.problem is not None
        assert folder.path is not None
        assert [entry.name for entry in folder.path.iterdir()] == ["lock"], "nothing half-written stays"
    with ThreadPoolExecutor(1) as disk:
        await watch.save(disk)
    assert watch.kept.problem is None
    assert np.count_nonzero(load(folder).rows["step"]) == 4


async def test_a_folder_that_vanishes_is_told_and_a_file_that_does_is_made_anew(
    folder: StateFolder, path: Path
) -> None:
    clock = FakeClock(NOW * 10.0)
    watch = watch_of(load(folder), clock)
    path.unlink()
    await run(watch, clock, 25)
    assert watch.kept.problem is None
    assert path.exists()
    path.unlink()
    path.with_name("lock").unlink()
    path.parent.rmdir()
    await run(watch, clock, 25)
    assert watch.kept.problem is not None
    assert str(path) in watch.kept.problem


async def test_looks_go_on_while_a_disk_hangs(folder: StateFolder, path: Path) -> None:
    """A pipe that nobody reads hangs whoever opens it for writing."""
    clock = FakeClock(NOW * 10.0)
    watch = watch_of(load(folder), clock)
    path.unlink()
    os.mkfifo(path)
    try:
        await run(watch, clock, 500)
    finally:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    values = as_json(watch.history.excerpt("hour", clock.now_s))["columns"]["cpu_percent"]
    assert values.count(9.0) >= 48
