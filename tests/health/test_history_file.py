"""The history file: it survives restarts and power cuts, damaged files are renamed, and a bad disk stops nothing."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import anyio
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.device.state import StateFolder, open_folder
from appliance.health import history_file
from appliance.health.history import COLUMNS, ROW, SLOTS, History, Rows, as_json
from appliance.health.history_file import HEADER, LoadedHistory, load, save
from appliance.health.recorder import Recorder, Sample
from appliance.health.trends import Counts
from appliance.health.watch import Watch
from appliance.readings import Cpu, Reading
from tests.fakes import FakeClock

NOW = 180_000_000


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """These tests use a real disk, and therefore real time."""
    return "asyncio"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[StateFolder]:
    with open_folder(tmp_path / "state") as opened:
        yield opened


@pytest.fixture
def path(folder: StateFolder) -> Path:
    """A history file with one hour of rows."""
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


def test_saved_rows_are_loaded_again(folder: StateFolder, path: Path) -> None:
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


def test_the_first_save_creates_the_file(folder: StateFolder) -> None:
    loaded = load(folder)
    assert not loaded.rows["step"].any()
    assert (loaded.problem, loaded.set_aside) == (None, None)
    assert loaded.path is not None
    save(loaded.path, *filled().take_unsaved(SLOTS))
    assert hour(load(folder).rows)[-1] == float((NOW - 1) % 50)


@pytest.mark.parametrize("written", [0, 1, 47, 100, 287, 288])
def test_a_power_cut_during_a_save_loses_at_most_that_minute(written: int, folder: StateFolder, path: Path) -> None:
    """Only the first `written` bytes of a minute reach the disk."""
    slots, rows = filled(6, NOW + 1).take_unsaved(SLOTS)
    data, place = rows.tobytes(), len(HEADER) + int(slots[0]) * ROW.itemsize
    with path.open("r+b") as file:
        file.seek(place)
        file.write(data[:written])
    loaded = load(folder)
    assert loaded.set_aside is None
    assert hour(loaded.rows) == [float(step % 50) for step in range(NOW - 360, NOW)]
    assert np.count_nonzero(loaded.rows["step"]) == 360 + written // ROW.itemsize


def test_a_torn_page_becomes_a_gap(folder: StateFolder, path: Path) -> None:
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
def test_a_damaged_file_is_renamed_and_logged(
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
def test_damage_never_raises_or_invents_a_value(
    folder: StateFolder, path: Path, damage: list[tuple[int, bytes]]
) -> None:
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


def test_a_folder_in_place_of_the_file_is_renamed(folder: StateFolder, path: Path) -> None:
    path.unlink()
    path.mkdir()
    assert load(folder).set_aside == "history.corrupt-1"


def test_a_symbolic_link_is_not_followed_when_saving(folder: StateFolder, path: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(precious)
    with pytest.raises(OSError, match="symbolic"):
        save(path, *filled(6, NOW).take_unsaved(SLOTS))


def test_without_a_free_state_folder_nothing_is_saved(folder: StateFolder) -> None:
    assert load(None).path is None
    assert folder.path is not None
    second = load(open_folder(folder.path))
    assert (second.path, second.taken) == (None, True)
    assert second.problem is not None


# -- the service that saves ------------------------------------------------------------------------------------------


def watch_of(loaded: LoadedHistory, clock: FakeClock) -> Watch:
    recorder = Recorder(History(loaded.rows), latency_bounds_s=(1.0,), clock=clock, wall_clock=clock)
    return Watch(loaded, recorder, clock=clock, period_s=0.001)


def next_sample(clock: FakeClock) -> Sample:
    """Take a sample, one second after the last."""
    clock.pass_(1)
    return Sample(Reading(clock.now_s, cpu=Cpu(percent=9)), Counts(clock.now_s, latency_counts=(0, 0)), 0, 1, "ok")


async def run(watch: Watch, clock: FakeClock, samples: int) -> None:
    """Run the watch until it has taken this many samples."""
    enough = asyncio.Event()
    left = samples

    def sample() -> Sample:
        nonlocal left
        left -= 1
        if left <= 0:
            enough.set()
        return next_sample(clock)

    task = asyncio.create_task(watch.run(sample))
    with anyio.fail_after(30):
        await enough.wait()
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def test_a_restart_loses_only_the_last_unfinished_row(folder: StateFolder) -> None:
    clock = FakeClock(NOW * 10.0)
    await run(watch_of(load(folder), clock), clock, 95)
    again = watch_of(load(folder), clock)
    values = as_json(again.history.excerpt("hour", clock.now_s + 10))["columns"]["cpu_percent"]
    assert [value for value in values if value is not None] == [9.0] * 9
    assert again.history_status.problem is None


@contextmanager
def full_disk(limit_bytes: int) -> Iterator[None]:
    """Simulate a full disk: no file may grow beyond this size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, former)


async def test_a_full_disk_is_reported_and_the_rows_are_saved_later(folder: StateFolder) -> None:
    clock = FakeClock(NOW * 10.0)
    watch = watch_of(load(folder), clock)
    with full_disk(1000):
        await run(watch, clock, 45)
        assert watch.history_status.problem is not None
        assert folder.path is not None
        assert [entry.name for entry in folder.path.iterdir()] == ["lock"], "no partial file is left behind"
    with ThreadPoolExecutor(1) as disk:
        await watch.save(disk)
    assert watch.history_status.problem is None
    assert np.count_nonzero(load(folder).rows["step"]) == 4


async def test_a_deleted_file_is_created_again_and_a_deleted_folder_is_reported(
    folder: StateFolder, path: Path
) -> None:
    clock = FakeClock(NOW * 10.0)
    watch = watch_of(load(folder), clock)
    path.unlink()
    await run(watch, clock, 25)
    assert watch.history_status.problem is None
    assert path.exists()
    path.unlink()
    path.with_name("lock").unlink()
    path.parent.rmdir()
    await run(watch, clock, 25)
    assert watch.history_status.problem is not None
    assert str(path) in watch.history_status.problem


async def test_sampling_continues_while_the_disk_hangs(folder: StateFolder, path: Path) -> None:
    """Opening a pipe without a reader for writing blocks, like a disk that hangs."""
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
