"""Available memory: of the machine, of the control group, and below the group's soft limit (MemoryHigh=)."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from appliance.governor.room import Room
from tests import boards

MB = 1_000_000


def group(root: Path, **files: int) -> None:
    boards.put(root, "proc/self/cgroup", "0::/b.service\n")
    boards.put(root, "proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw")
    boards.put(root, "sys/fs/cgroup/b.service/memory.stat", f"active_file 0\ninactive_file {50 * MB}\n")
    for name, value in files.items():
        boards.put(root, f"sys/fs/cgroup/b.service/memory.{name}", f"{value}\n")


@pytest.mark.parametrize(("high", "room"), [(500 * MB, 250 * MB), (580 * MB, 330 * MB), (200 * MB, 0)])
def test_available_memory_ends_at_the_soft_limit_of_the_group(high: int, room: int, tmp_path: Path) -> None:
    group(tmp_path, current=300 * MB, max=600 * MB, high=high)
    assert Room(tmp_path)() == min(room, 350 * MB)


def test_available_memory_is_read_on_each_call(tmp_path: Path) -> None:
    group(tmp_path, current=300 * MB, max=600 * MB)
    room = Room(tmp_path)
    assert room() == 350 * MB
    group(tmp_path, current=500 * MB)
    assert room() == 150 * MB


def test_without_a_control_group_the_memory_of_the_machine_counts(tmp_path: Path) -> None:
    found = Room(tmp_path)()
    assert found is not None
    assert 0 < found <= psutil.virtual_memory().total
