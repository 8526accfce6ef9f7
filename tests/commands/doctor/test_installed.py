"""What the doctor says of an installed box, in a tree of files laid out as the installer does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance.commands.doctor import installed
from appliance.commands.doctor.check import Check


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder, mode in (
        ("opt/appliance/releases/1.0-abc", 0o755), ("opt/appliance/models", 0o755), ("etc/appliance", 0o750),
        ("etc/appliance/credentials", 0o700), ("etc/systemd/system/appliance.target.wants", 0o755),
    ):  # fmt: skip
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder).chmod(mode)
    (tmp_path / "opt/appliance").chmod(0o755)
    (tmp_path / "opt/appliance/releases/1.0-abc/complete").touch()
    (tmp_path / "opt/appliance/current").symlink_to("releases/1.0-abc")
    settings = tmp_path / "etc/appliance/appliance.toml"
    settings.touch()
    settings.chmod(0o640)
    for unit in installed.UNITS:
        link = tmp_path / "etc/systemd/system/appliance.target.wants" / unit
        link.symlink_to(f"/usr/lib/systemd/system/{unit}")
    groups = tmp_path / "sys/fs/cgroup"
    groups.mkdir(parents=True)
    (groups / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    return tmp_path


def judged(root: Path) -> dict[str, Check]:
    return {check.name: check for check in installed.examine(root, os.getuid())}


def test_a_box_as_it_was_installed_is_good(root: Path) -> None:
    checks = judged(root)
    assert list(checks) == ["release", "units", "permissions", "memory limit"]
    assert all(check.ok for check in checks.values())
    assert checks["release"].text == "1.0-abc"


def test_nothing_is_said_where_it_is_not_installed(tmp_path: Path) -> None:
    assert judged(tmp_path) == {}


def test_a_torn_release_is_found(root: Path) -> None:
    (root / "opt/appliance/releases/1.0-abc/complete").unlink()
    assert not judged(root)["release"].ok


def test_a_unit_that_does_not_start_at_the_boot_is_named_with_its_command(root: Path) -> None:
    (root / "etc/systemd/system/appliance.target.wants/appliance.socket").unlink()
    check = judged(root)["units"]
    assert not check.ok
    assert "systemctl enable appliance.socket`" in check.do


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("etc/appliance/appliance.toml", 0o644), ("etc/appliance/credentials", 0o750), ("opt/appliance/models", 0o777),
        ("etc/appliance", 0o755),
    ],
)  # fmt: skip
def test_what_others_may_read_or_write_but_should_not_is_found(name: str, mode: int, root: Path) -> None:
    (root / name).chmod(mode)
    checks = judged(root)
    assert [check.name for check in checks.values() if not check.ok] == ["permissions"]
    assert f"/{name} is open to others" in checks["permissions"].text


def test_what_belongs_to_somebody_else_is_found(root: Path) -> None:
    (check,) = [check for check in installed.examine(root, os.getuid() + 1) if check.name == "permissions"]
    assert not check.ok
    assert "is not root's" in check.text


def test_a_kernel_that_does_not_count_memory_is_found(root: Path) -> None:
    (root / "sys/fs/cgroup/cgroup.controllers").write_text("cpuset cpu io pids\n")
    check = judged(root)["memory limit"]
    assert not check.ok
    assert "cgroup_enable=memory" in check.do


def test_control_groups_of_version_1_hold_to_a_limit_where_memory_is_among_them(root: Path) -> None:
    (root / "sys/fs/cgroup/cgroup.controllers").unlink()
    assert not judged(root)["memory limit"].ok
    (root / "sys/fs/cgroup/memory").mkdir()
    assert judged(root)["memory limit"].ok
