"""Usable CPUs: cgroup trees as kernels provide them, and a real affinity mask."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.device.cpus import quota_cpus, restricted_to, usable_cpus

V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1 = "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct"
OTHERS = (
    "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw",
    "34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset",
)
V2_DIR, V1_DIR = "sys/fs/cgroup", "sys/fs/cgroup/cpu,cpuacct"


def tree(root: Path, groups: str, files: dict[str, str], mounts: tuple[str, ...] | None = (V2,)) -> Path:
    """Create a machine: /proc/self/cgroup, files by path, and /proc/self/mountinfo (None: without it)."""
    everything = {"proc/self/cgroup": groups} | files
    if mounts is not None:
        everything["proc/self/mountinfo"] = "\n".join((*OTHERS, *mounts)) + "\n"
    for name, content in everything.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode("utf-8", "surrogateescape"))
    return root


@pytest.mark.parametrize(
    ("content", "cpus"),
    [
        ("max 100000\n", None),
        ("200000 100000\n", 2.0),
        ("150000 100000\n", 1.5),
        ("1000 100000\n", 0.01),
        ("", None),
        ("max\n", None),
        ("200000\n", None),
        ("200000 0\n", None),
        ("-1 100000\n", None),
        ("0 100000\n", None),
        ("-1 -1\n", None),
        ("many 100000\n", None),
        ("200000 100000 7\n", None),
        (f"{'9' * 400} 1\n", None),
        ("\udcff\udcfe\n", None),
    ],
)
def test_the_v2_quota_is_read_from_cpu_max(content: str, cpus: float | None, tmp_path: Path) -> None:
    root = tree(tmp_path, "0::/service\n", {f"{V2_DIR}/service/cpu.max": content})
    assert quota_cpus(root) == cpus


@pytest.mark.parametrize(
    ("quota", "period", "cpus"),
    [
        ("-1", "100000", None),
        ("50000", "100000", 0.5),
        ("300000", "100000", 3.0),
        ("300000", "", None),
        ("", "100000", None),
        ("x", "y", None),
    ],
)
def test_the_v1_quota_is_read_from_quota_and_period(
    quota: str, period: str, cpus: float | None, tmp_path: Path
) -> None:
    here = f"{V1_DIR}/group"
    files = {f"{here}/cpu.cfs_quota_us": f"{quota}\n", f"{here}/cpu.cfs_period_us": f"{period}\n"}
    assert quota_cpus(tree(tmp_path, "4:cpu,cpuacct:/group\n1:name=systemd:/\n", files, (V1,))) == cpus


def test_the_tightest_quota_of_the_group_and_its_ancestors_counts(tmp_path: Path) -> None:
    quotas = {"": "900000", "a.slice": "150000", "a.slice/b.slice": "max", "a.slice/b.slice/c.service": "400000"}
    files = {f"{V2_DIR}/{group}/cpu.max": f"{quota} 100000\n" for group, quota in quotas.items()}
    files[f"{V2_DIR}/other.slice/cpu.max"] = "1000 100000\n"
    assert quota_cpus(tree(tmp_path, "0::/a.slice/b.slice/c.service\n", files)) == 1.5


def test_the_ancestors_count_in_v1_too(tmp_path: Path) -> None:
    files: dict[str, str] = {}
    for group, quota in (("docker", "200000"), ("docker/abc", "-1")):
        files |= {f"{V1_DIR}/{group}/cpu.cfs_quota_us": quota, f"{V1_DIR}/{group}/cpu.cfs_period_us": "100000"}
    assert quota_cpus(tree(tmp_path, "4:cpu,cpuacct:/docker/abc\n", files, (V1,))) == 2.0


def test_on_a_hybrid_system_both_versions_count(tmp_path: Path) -> None:
    v2 = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw"
    files = {
        f"{V1_DIR}/cpu.cfs_quota_us": "250000",
        f"{V1_DIR}/cpu.cfs_period_us": "100000",
        "sys/fs/cgroup/unified/me/cpu.max": "350000 100000",
    }
    groups = "9:name=systemd:/\n4:memory:/x\n3:cpuset:/\n1:cpu,cpuacct:/\n0::/me\n"
    assert quota_cpus(tree(tmp_path, groups, files, (V1, v2))) == 2.5
    (tmp_path / "sys/fs/cgroup/unified/me/cpu.max").write_text("120000 100000")
    assert quota_cpus(tmp_path) == 1.2


def test_in_a_container_the_mount_shows_its_part_of_the_tree(tmp_path: Path) -> None:
    """Without a cgroup namespace, the mount's root is the container's group, and /proc shows its path on the host."""
    mount = "30 23 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup ro"
    files = {f"{V2_DIR}/cpu.max": "100000 100000", f"{V2_DIR}/sub/cpu.max": "70000 100000"}
    assert quota_cpus(tree(tmp_path, "0::/docker/abc\n", files, (mount,))) == 1.0
    (tmp_path / "proc/self/cgroup").write_text("0::/docker/abc/sub\n")
    assert quota_cpus(tmp_path) == 0.7


@pytest.mark.parametrize("group", ["/../outside", "/../..", "elsewhere", "", "/gone"])
def test_for_a_group_outside_of_the_mount_the_root_of_the_mount_counts(group: str, tmp_path: Path) -> None:
    files = {f"{V2_DIR}/cpu.max": "300000 100000", "sys/fs/outside/cpu.max": "100000 100000"}
    assert quota_cpus(tree(tmp_path, f"0::{group}\n", files)) == 3.0


def test_a_mount_point_with_a_space_is_found(tmp_path: Path) -> None:
    mount = r"30 23 0:26 / /run/c\040group rw - cgroup2 none rw"
    assert quota_cpus(tree(tmp_path, "0::/a\n", {"run/c group/a/cpu.max": "100000 100000"}, (mount,))) == 1.0


def test_without_mountinfo_the_usual_mount_points_are_tried(tmp_path: Path) -> None:
    assert quota_cpus(tree(tmp_path, "0::/a\n", {f"{V2_DIR}/a/cpu.max": "100000 50000"}, None)) == 2.0


def test_an_empty_machine_has_no_quota(tmp_path: Path) -> None:
    assert quota_cpus(tmp_path) is None
    assert usable_cpus(tmp_path) == len(os.sched_getaffinity(0))


def test_a_folder_in_place_of_a_file_sets_no_quota(tmp_path: Path) -> None:
    root = tree(tmp_path, "0::/a\n", {})
    (root / V2_DIR / "a" / "cpu.max").mkdir(parents=True)
    assert quota_cpus(root) is None


def test_a_quota_is_rounded_up_to_at_least_one_cpu(tmp_path: Path) -> None:
    root = tree(tmp_path, "0::/\n", {f"{V2_DIR}/cpu.max": "1000 100000\n"})
    assert usable_cpus(root) == 1
    (root / V2_DIR / "cpu.max").write_text("110000 100000\n")
    assert usable_cpus(root) == min(2, len(os.sched_getaffinity(0)))
    (root / V2_DIR / "cpu.max").write_text("99900000 100000\n")
    assert usable_cpus(root) == len(os.sched_getaffinity(0))


def test_a_process_is_restricted_only_if_the_machine_has_more_cpus(tmp_path: Path) -> None:
    everything, some = os.cpu_count() or 1, len(os.sched_getaffinity(0))
    assert restricted_to(tmp_path) == (some if some < everything else 0)
    root = tree(tmp_path, "0::/\n", {f"{V2_DIR}/cpu.max": "90000 100000\n"})
    assert restricted_to(root) == (1 if everything > 1 else 0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(groups=st.text(max_size=60), mounts=st.text(max_size=80), quota=st.text(max_size=20))
def test_no_file_content_causes_an_error(groups: str, mounts: str, quota: str, tmp_path: Path) -> None:
    name = f"{V2_DIR}/cpu.max"
    tree(tmp_path, f"0::/\n{groups}", {name: quota.encode("utf-8", "replace").decode()}, (mounts, V2))
    assert usable_cpus(tmp_path) >= 1
    tree(tmp_path, f"0::{groups}", {})
    assert usable_cpus(tmp_path) >= 1


def test_a_process_pinned_to_one_cpu_may_use_one() -> None:
    taskset = shutil.which("taskset")
    if taskset is None:
        pytest.skip("taskset (util-linux) is missing: the real affinity mask is not tested")
    program = "from appliance.device.cpus import usable_cpus; print(usable_cpus())"
    cpu = str(min(os.sched_getaffinity(0)))
    done = subprocess.run([taskset, "-c", cpu, sys.executable, "-c", program], capture_output=True, text=True,
                          timeout=60, cwd=Path(__file__).parent.parent.parent)  # fmt: skip
    assert done.stderr == ""
    assert done.stdout == "1\n"
