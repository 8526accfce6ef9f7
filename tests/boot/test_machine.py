"""What a container cannot show: limits of cgroup v2, a clock that is really set, and the power that goes."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.boot import machine, rootfs
from tests.boot.conftest import Measured, put_faults
from tests.boot.machine import Machine

pytestmark = pytest.mark.machine

_CUTS = 20
_SETTINGS = """
[flow]
max_side = 320      # an emulated chip takes minutes for what a board does in a tenth of a second
deadline_s = 120
"""


@pytest.fixture(scope="module")
def vm(can_boot: None) -> Iterator[Machine]:
    why_not = machine.why_not()
    if why_not:
        pytest.skip(f"no virtual machine here: {why_not}")
    root = put_faults(rootfs.build(rootfs.CACHE / "machine", rootfs.MACHINE))
    (root / "etc/appliance/camera-gate.env").write_text("SOURCE=demo\n")
    (root / "etc/appliance/appliance.toml").write_text(_SETTINGS)
    patience = root / "etc/systemd/system/appliance.service.d/90-test.conf"
    patience.parent.mkdir()
    patience.write_text("[Service]\nWatchdogSec=2min\n")
    disk = rootfs.CACHE / "machine.img"
    machine.make_disk(root, disk)
    with Machine(root, disk) as booted:
        booted.wait_until_ready()
        booted.run("systemctl enable --now appliance-camera@gate")
        yield booted


def test_a_machine_sees_after_its_boot_without_a_hand(vm: Machine, measured: Measured) -> None:
    assert vm.show("appliance", "NRestarts") == "0"
    vm.wait_until("answering", lambda: vm.answered("gate") >= 1)
    measured(vm.run("systemd-analyze | head -1"))


def test_a_leak_is_ended_by_the_kernel_at_the_limit_of_cgroup_v2(vm: Machine, measured: Measured) -> None:
    was = vm.show("appliance", "InvocationID")
    vm.run("systemctl set-property --runtime appliance MemoryHigh=infinity MemoryMax=700M; touch /run/appliance/leak")
    vm.wait_until("restarted", lambda: vm.show("appliance", "InvocationID") not in ("", was))
    said = vm.run(f"journalctl -o cat INVOCATION_ID={was} | grep 'Failed with result'")
    assert "oom-kill" in said
    measured(f"oom-kill; ready again {vm.wait_until_ready():.0f} s after its start")


def test_a_clock_that_is_set_fifty_years_ahead_restarts_nothing(vm: Machine) -> None:
    vm.wait_until("answering", lambda: vm.answered("gate") >= 1)
    was, answered = vm.show("appliance", "InvocationID"), vm.answered("gate")
    vm.run("date -s '+50 years'")
    vm.wait_until("answering", lambda: vm.answered("gate") >= answered + 3)
    assert vm.show("appliance", "InvocationID") == was
    vm.run("date -s '-50 years'")


@pytest.mark.parametrize("cut", range(_CUTS))
def test_a_power_cut_while_frames_flow_loses_nothing_that_matters(vm: Machine, cut: int, measured: Measured) -> None:
    chance = random.Random(cut)
    vm.wait_until("answering", lambda: vm.answered("gate") >= 1)
    vm.run(
        "systemctl restart --no-block appliance"  # at any moment of its start and of what it writes then
        if chance.random() < 0.5
        else f"sleep {chance.uniform(0, 5):.1f}"
    )
    vm.pull_the_plug()
    vm.switch_on()
    ready_s = vm.wait_until_ready()
    assert vm.show("appliance", "NRestarts") == "0"
    half_written = vm.run("find /var/lib/appliance /opt/appliance/models -name '.*' -type f")
    set_aside = vm.run("find /var/lib/appliance -name '*.corrupt-*' | wc -l")
    measured(f"ready {ready_s:.0f} s after its start; set aside: {set_aside}; left over: {half_written or 'nothing'}")
