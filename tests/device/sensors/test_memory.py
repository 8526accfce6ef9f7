"""The memory of a control group: usage without cache, and the limits that apply to it."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from appliance.device.sensors import memory
from appliance.readings import Memory
from tests import boards

V2 = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw"
V1 = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
OWN = "sys/fs/cgroup/a.slice/b.service/memory.{}"
PARENT = "sys/fs/cgroup/a.slice/memory.{}"


def read(root: Path) -> Memory:
    return memory.read(memory.find(root), psutil.Process()).group


def v2(root: Path, stat: str = "anon 1\nfile 500\nshmem 100\nactive_file 300\ninactive_file 100\n") -> None:
    boards.put(root, "proc/self/cgroup", "0::/a.slice/b.service\n")
    boards.put(root, "proc/self/mountinfo", V2)
    boards.put(root, OWN.format("current"), "1000\n")
    boards.put(root, OWN.format("stat"), stat)


def test_cache_does_not_count_as_usage_but_shared_memory_does(tmp_path: Path) -> None:
    v2(tmp_path)
    found = read(tmp_path)
    assert (found.cgroup_used_bytes, found.cgroup_cache_bytes) == (600, 400)


@pytest.mark.parametrize("stat", ["", "active_file 300\n", "active_file x\ninactive_file 1\n", "active_file\n", "\0"])
def test_without_cache_figures_the_usage_is_unknown(stat: str, tmp_path: Path) -> None:
    v2(tmp_path, stat)
    found = read(tmp_path)
    assert (found.cgroup_used_bytes, found.cgroup_cache_bytes) == (None, None)


@pytest.mark.parametrize(
    ("own", "parent", "limit"),
    [("max", "max", None), ("5000", "max", 5000), ("max", "4000", 4000), ("5000", "4000", 4000), ("-5", "", None)],
)
def test_the_tightest_limit_of_the_group_and_its_ancestors_counts(
    own: str, parent: str, limit: int | None, tmp_path: Path
) -> None:
    v2(tmp_path)
    for kind in ("max", "high"):
        boards.put(tmp_path, OWN.format(kind), own)
        boards.put(tmp_path, PARENT.format(kind), parent)
    found = read(tmp_path)
    assert (found.cgroup_limit_bytes, found.cgroup_high_bytes) == (limit, limit)


def test_on_a_hybrid_system_the_hierarchy_with_memory_accounting_is_read(tmp_path: Path) -> None:
    unified = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw"
    boards.put(tmp_path, "proc/self/cgroup", "4:memory:/group\n0::/\n")
    boards.put(tmp_path, "proc/self/mountinfo", f"{unified}\n{V1}\n")
    boards.put(tmp_path, "sys/fs/cgroup/memory/group/memory.usage_in_bytes", "1000")
    stat = "cache 500\nhierarchical_memory_limit 9000\ntotal_active_file 300\ntotal_inactive_file 100\n"
    boards.put(tmp_path, "sys/fs/cgroup/memory/group/memory.stat", stat)
    found = read(tmp_path)
    assert (found.cgroup_used_bytes, found.cgroup_cache_bytes, found.cgroup_limit_bytes) == (600, 400, 9000)


@pytest.mark.parametrize(
    ("total", "limit", "small"), [(1e9, None, True), (2e9, None, False), (8e9, 600e6, True), (8e9, 1.2e9, False)]
)
def test_a_board_with_1_gb_or_a_limit_as_there_is_small(total: float, limit: float | None, small: bool) -> None:
    found = Memory(total_bytes=int(total), cgroup_limit_bytes=int(limit) if limit else None)
    assert memory.is_small(found) == small


def test_unknown_memory_is_not_small() -> None:
    assert not memory.is_small(Memory())
