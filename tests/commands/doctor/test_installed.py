"""The doctor's checks of an installation, on a copy of the installer's file tree."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from appliance.commands.doctor import installed
from appliance.commands.doctor.check_result import CheckResult

SYSTEMD = Path(__file__).parents[3] / "systemd"


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
    for folder, installed_at in (("units", "usr/lib/systemd/system"), ("libexec", "usr/libexec/appliance")):
        shutil.copytree(SYSTEMD / folder, tmp_path / "opt/appliance/releases/1.0-abc/systemd" / folder)
        shutil.copytree(SYSTEMD / folder, tmp_path / installed_at)
    groups = tmp_path / "sys/fs/cgroup"
    groups.mkdir(parents=True)
    (groups / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    return tmp_path


def checked(root: Path) -> dict[str, CheckResult]:
    return {check.name: check for check in installed.examine(root, os.getuid(), os.getgid())}


def test_a_fresh_installation_passes(root: Path) -> None:
    checks = checked(root)
    assert list(checks) == ["release", "units", "permissions", "memory limit"]
    assert all(check.ok for check in checks.values())
    assert checks["release"].text == "1.0-abc"


def test_a_machine_without_an_installation_has_no_results(tmp_path: Path) -> None:
    assert checked(tmp_path) == {}


def test_an_incomplete_release_fails(root: Path) -> None:
    (root / "opt/appliance/releases/1.0-abc/complete").unlink()
    assert not checked(root)["release"].ok


def test_a_disabled_unit_is_named_with_the_command_that_enables_it(root: Path) -> None:
    (root / "etc/systemd/system/appliance.target.wants/appliance.socket").unlink()
    check = checked(root)["units"]
    assert not check.ok
    assert "systemctl enable appliance.socket`" in check.fix


def test_all_units_that_the_installer_enables_are_checked() -> None:
    enabled = re.search(r"systemctl .*enable \\\n((?:.*\\\n)*.*)", (SYSTEMD / "install.sh").read_text(encoding="utf-8"))
    assert enabled
    assert sorted(enabled[1].replace("\\", "").split()) == sorted(installed.UNITS)


@pytest.mark.parametrize(
    "name",
    ["lib/systemd/system/appliance-update-fetch@.service", "lib/systemd/system/appliance-erase.service",
     "libexec/appliance/update-guard"],
)  # fmt: skip
@pytest.mark.parametrize("text", [None, "of another release"])
def test_a_unit_or_program_of_another_release_is_named(name: str, text: str | None, root: Path) -> None:
    path = root / "usr" / name
    path.unlink()
    if text:
        path.write_text(text)
    check = checked(root)["units"]
    assert not check.ok
    assert check.text.endswith(f": {path.name}")
    assert "update-guard units-change" in check.fix


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("etc/appliance/appliance.toml", 0o644), ("etc/appliance/credentials", 0o750), ("opt/appliance/models", 0o777),
        ("etc/appliance", 0o755),
    ],
)  # fmt: skip
def test_files_accessible_to_other_users_fail(name: str, mode: int, root: Path) -> None:
    (root / name).chmod(mode)
    checks = checked(root)
    assert [check.name for check in checks.values() if check.ok is False] == ["permissions"]
    assert f"/{name} is accessible to other users" in checks["permissions"].text
    assert "install.sh" not in checks["permissions"].fix, "without the board's options it would remove its limits"


@pytest.mark.parametrize(("gid", "mode"), [(os.getgid() + 1, 0o640), (os.getgid(), 0o600)])
def test_settings_that_the_service_cannot_read_fail(root: Path, gid: int, mode: int) -> None:
    """Restored from a backup, or copied with sudo."""
    (root / "etc/appliance/appliance.toml").chmod(mode)
    (check,) = [one for one in installed.examine(root, os.getuid(), gid) if one.name == "permissions"]
    assert not check.ok
    assert "/etc/appliance/appliance.toml is closed to the group appliance" in check.text


def test_a_wrong_owner_fails(root: Path) -> None:
    (check,) = [check for check in installed.examine(root, os.getuid() + 1) if check.name == "permissions"]
    assert not check.ok
    assert "is not owned by root" in check.text


def test_a_kernel_without_memory_accounting_fails(root: Path) -> None:
    (root / "sys/fs/cgroup/cgroup.controllers").write_text("cpuset cpu io pids\n")
    check = checked(root)["memory limit"]
    assert not check.ok
    assert "cgroup_enable=memory" in check.fix


def test_version_1_control_groups_pass_with_a_memory_controller(root: Path) -> None:
    (root / "sys/fs/cgroup/cgroup.controllers").unlink()
    assert not checked(root)["memory limit"].ok
    (root / "sys/fs/cgroup/memory").mkdir()
    assert checked(root)["memory limit"].ok
