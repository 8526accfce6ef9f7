"""A blank Debian in a virtual machine: install, cut the power, uninstall.

The tests share one machine and run in this order.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.boot import machine, rootfs
from tests.boot.conftest import Measured
from tests.boot.machine import Machine
from tests.provisioning import disk
from tests.provisioning.blank import PACKAGES, ask
from tests.provisioning.conftest import PREPARED, Bundle
from tests.provisioning.disk import Files

pytestmark = [pytest.mark.provision, pytest.mark.slow]

_KERNEL = ("linux-image-cloud-amd64", "initramfs-tools")
_DISK_BYTES = 4_000_000_000
# An emulated CPU takes minutes for what a board does in 0.1 s.
_SETTINGS = "[flow]\nmax_side = 320\ndeadline_s = 120\n"
_LONG_TIMEOUTS = "[Service]\nWatchdogSec=2min\nTimeoutStartSec=10min\n"


@pytest.fixture(scope="module")
def vm(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A booted blank machine with the bundle on its disk."""
    if why_not := machine.why_not():
        pytest.skip(f"no virtual machine here: {why_not}")
    root = rootfs.CACHE / "blank"
    shutil.rmtree(root, ignore_errors=True)
    subprocess.run(["cp", "-a", rootfs.debian((*PACKAGES, *PREPARED, *_KERNEL), "bookworm"), root], check=True)
    shutil.copy(bundle("amd64", "3.11"), root / "media/bundle.tar")
    (root / "etc/hostname").write_text("debian\n")
    drop_in = root / "usr/local/lib/systemd/system/appliance.service.d/90-test.conf"
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text(_LONG_TIMEOUTS)
    image = tmp_path_factory.mktemp("machine") / "disk.img"
    machine.make_disk(root, image, _DISK_BYTES)
    with Machine(root, image) as booted:
        booted.wait_until("up", lambda: _is_up(booted))
        yield booted


@pytest.fixture(scope="module")
def before(vm: Machine) -> Files:
    """The files on its disk before the installation."""
    return disk.files(vm.run)


def test_one_command_installs_a_ready_device(vm: Machine, before: Files, measured: Measured) -> None:
    vm.run(f"mkdir -m 755 /etc/appliance && printf '{_SETTINGS!s}' > /etc/appliance/appliance.toml")
    vm.run("tar -xf /media/bundle.tar -C /tmp provisioning")
    started_s = time.monotonic()
    output = vm.run("/tmp/provisioning/install.sh --bundle /media/bundle.tar 2>&1 </dev/null; echo exit code $?")
    taken_s = time.monotonic() - started_s
    assert output.endswith("exit code 0"), output
    assert "is active: https://10.0.2.15:8080/#sha256=" in output
    assert vm.get("/health/ready")[0] == 200
    measured(f"ready after {taken_s:.0f} s, emulated")


def test_it_answers_a_frame_over_the_network(vm: Machine) -> None:
    answer = ask(vm.http_port, vm.token())
    assert [found["name"] for found in answer["detections"]] == ["stop sign"], answer


def test_it_is_ready_by_itself_after_a_power_cut(vm: Machine, measured: Measured) -> None:
    vm.pull_the_plug()
    vm.switch_on()
    ready_s = vm.wait_until_ready()
    answer = ask(vm.http_port, vm.token())
    assert [found["name"] for found in answer["detections"]] == ["stop sign"], answer
    output = vm.run("/usr/local/bin/appliance doctor; echo exit code $?")
    assert output.endswith("exit code 0"), output
    assert "memory limit   enforced by the kernel" in output
    name = vm.run("hostname")
    assert name.startswith("appliance-")
    measured(
        f"called {name}, ready {ready_s:.0f} s after the start of the service, emulated; all checks of doctor pass"
    )


def test_uninstall_removes_everything_except_the_host_name(vm: Machine, before: Files, measured: Measured) -> None:
    output = vm.run("/opt/appliance/current/provisioning/uninstall.sh 2>&1; echo exit code $?")
    assert output.endswith("exit code 0"), output
    assert set(disk.changes(before, disk.files(vm.run))) == {"/etc/hostname", "/etc/hosts"}
    measured(f"{len(before)} files compared with those before, none differs")


def _is_up(vm: Machine) -> bool:
    try:
        return vm.run("systemctl is-system-running") in ("running", "degraded")
    except OSError:
        return False
