"""What a container cannot test: cgroup v2 limits, a real change of the clock, and power cuts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from appliance.workshop import importing
from tests.boot import cuts, intact, machine, rootfs
from tests.boot.conftest import Measured, add_faults
from tests.boot.cuts import Cut, Kind
from tests.boot.machine import Machine

pytestmark = pytest.mark.machine

_STATE, _MODELS = "/var/lib/appliance", "/opt/appliance/models"
_SOON_S = 10.0
"""The limit for readiness, in seconds of a core that runs 10^9 instructions per second; see machine.py."""
_SETTINGS = "[flow]\nmax_side = 320\n"
"""A core without wide vector instructions takes two seconds for a full-size frame."""


@pytest.fixture(scope="module")
def vm(can_boot: None) -> Iterator[Machine]:
    why_not = machine.why_not()
    if why_not:
        pytest.skip(f"no virtual machine here: {why_not}")
    root = add_faults(rootfs.build(rootfs.CACHE / "machine", rootfs.MACHINE))
    (root / "etc/appliance/camera-gate.env").write_text("SOURCE=demo\n")
    (root / "etc/appliance/appliance.toml").write_text(_SETTINGS)
    importing.import_model(root / f"opt/appliance/models/{rootfs.MODEL}", root / "opt/appliance/models", "second")
    shutil.copytree(root / "opt/appliance/models", root / "root/models")
    disk = rootfs.CACHE / "machine.img"
    machine.make_countable(root)
    machine.make_disk(root, disk)
    with Machine(root, disk, counted=True) as booted:
        booted.wait_until_ready()
        yield booted


def test_a_machine_is_ready_soon_after_its_first_boot_without_manual_steps(vm: Machine, measured: Measured) -> None:
    ready_s = vm.wait_until_ready()
    assert vm.show("appliance", "NRestarts") == "0"
    measured(f"ready after {ready_s:.1f} s of CPU time, with every network compiled from scratch")
    assert ready_s <= _SOON_S


def test_the_kernel_stops_a_leak_at_the_cgroup_v2_limit(vm: Machine, measured: Measured) -> None:
    _let_frames_flow(vm)
    was = vm.show("appliance", "InvocationID")
    vm.run("systemctl set-property --runtime appliance MemoryHigh=infinity MemoryMax=700M; touch /run/appliance/leak")
    vm.wait_until("restarted", lambda: vm.show("appliance", "InvocationID") not in ("", was))
    output = vm.run(f"journalctl -o cat INVOCATION_ID={was} | grep 'Failed with result'")
    assert "oom-kill" in output
    measured(f"oom-kill; ready again after {vm.wait_until_ready():.1f} s of CPU time")


def test_setting_the_clock_fifty_years_ahead_restarts_nothing(vm: Machine) -> None:
    _let_frames_flow(vm)
    was, answered = vm.show("appliance", "InvocationID"), vm.answered("gate")
    vm.run("date -s '+50 years'")
    vm.wait_until("answering", lambda: vm.answered("gate") >= answered + 3)
    assert vm.show("appliance", "InvocationID") == was
    vm.run("date -s '-50 years'")


def test_the_service_can_reach_private_addresses_only(vm: Machine) -> None:
    site = {"10.1.2.3", "172.16.0.1", "192.168.0.1", "100.64.0.1", "169.254.1.1", "224.0.0.251", "127.0.0.1", "::1"}
    public = {"192.0.2.1", "198.51.100.1", "203.0.113.1", "172.32.0.1", "192.169.0.1", "100.128.0.1", "2001:db8::1"}
    vm.run("ip -4 route replace default dev lo")  # IPv6 has a router; the filter does not apply to lo
    reached = _reached(vm, site | public, as_service=True)
    assert _reached(vm, site | public, as_service=False) == site | public, (
        "without the filter, not every address is reached"
    )
    assert reached == site


@pytest.mark.parametrize("cut", cuts.plan(), ids=str)
def test_a_power_cut_damages_no_files(vm: Machine, cut: Cut, measured: Measured) -> None:
    if cut.kind is Kind.FRAMES:
        _let_frames_flow(vm)
    in_use = _in_use(vm)
    vm.cut_during(cuts.script(cut, in_use))
    vm.switch_on()
    ready_s = vm.wait_until_ready()
    assert vm.show("appliance", "NRestarts") == "0"
    models, kept = vm.digests(_MODELS), vm.files(_STATE)
    texts = vm.files(_MODELS, "*.json")
    chosen, state = intact.active_model(models, texts) or cuts.MODELS[0], intact.state(kept)
    assert chosen in cuts.MODELS
    assert _in_use(vm) == chosen, "the running model is not the activated one"
    findings = [finding["code"] for finding in vm.get("/health")[1]["findings"]]
    assert bool(state.set_aside) == ("state_set_aside" in findings), f"{state.set_aside}, {findings}"
    vm.run(f"rm -f {_STATE}/*.corrupt-*")
    assert ready_s <= _SOON_S
    left = intact.temporary([*models, *kept])
    measured(
        f"{cut}: ready after {ready_s:.1f} s of CPU time, with {chosen}; {state.rows} rows of history, {state.torn} "
        f"damaged{', set aside' if state.set_aside else ''}{f'; left over: {left}' if left else ''}"
    )


def _let_frames_flow(vm: Machine) -> None:
    vm.run("systemctl start --no-block appliance-camera@gate")
    vm.wait_until("answering", lambda: vm.answered("gate") >= 1)


def _in_use(vm: Machine) -> str:
    return str(vm.get("/health")[1]["engine"]["model"])


def _reached(vm: Machine, addresses: set[str], *, as_service: bool) -> set[str]:
    """The addresses to which the kernel lets a process send, inside or outside the service's cgroup."""
    group = "/sys/fs/cgroup/system.slice/appliance.service/cgroup.procs"
    enter = f"echo $$ >{group} && " if as_service else ""
    program = f"""cat >/run/send.py <<'END'
{_SEND}
END
sh -c '{enter}exec /usr/bin/python3 /run/send.py {" ".join(sorted(addresses))}'"""
    return set(vm.run(program).split())


_SEND = """
import socket, sys
for address in sys.argv[1:]:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as out:
        try:
            out.sendto(b"x", (address, 9))
        except PermissionError:
            continue
        print(address)
"""
