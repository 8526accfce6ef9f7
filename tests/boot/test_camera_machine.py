"""The kernel's test webcam (vivid) in a virtual machine: device permissions and the camera agent."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.boot import machine, rootfs
from tests.boot.conftest import Measured
from tests.boot.machine import Machine

pytestmark = pytest.mark.machine

_KERNEL = {"linux-image-cloud-amd64": "linux-image-amd64"}  # the cloud kernel has no camera drivers
_VIVID = "modprobe vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0"
_DRIVER = "/sys/bus/platform/drivers/vivid"
_RAW = ("yuyv422", "nv12", "yuv420p", "rgb24")
_SETTINGS = """
[flow]
max_side = 320      # an emulated CPU takes minutes for what a board does in 0.1 s
deadline_s = 120
"""


@pytest.fixture(scope="module")
def vm(can_boot: None) -> Iterator[Machine]:
    """A device whose camera `gate` is a webcam that is connected and gets answers."""
    why_not = machine.why_not()
    if why_not:
        pytest.skip(f"no virtual machine here: {why_not}")
    packages = tuple(_KERNEL.get(name, name) for name in rootfs.MACHINE)
    root = rootfs.build(rootfs.CACHE / "camera-machine", packages, ("systemd", "camera"))
    (root / "etc/appliance/camera-gate.env").write_text("SOURCE=/dev/video0\n")
    (root / "etc/appliance/appliance.toml").write_text(_SETTINGS)
    patience = root / "etc/systemd/system/appliance.service.d/90-test.conf"
    patience.parent.mkdir()
    patience.write_text("[Service]\nWatchdogSec=2min\n")
    _forget_debians_rule(root / "usr/lib/udev/rules.d/50-udev-default.rules")
    shutil.copy(Path(__file__).with_name("camera_formats.py"), root / "root")
    disk = rootfs.CACHE / "camera-machine.img"
    machine.make_disk(root, disk)
    with Machine(root, disk) as booted:
        booted.wait_until_ready()
        booted.run(f"{_VIVID}; udevadm settle; systemctl enable --now --no-block appliance-camera@gate")
        booted.wait_until("answering the webcam", lambda: booted.answered("gate") >= 1)
        yield booted


def _forget_debians_rule(rules: Path) -> None:
    """Remove Debian's rules, as in an image for one board, so that only our rule sets the camera's group."""
    lines = rules.read_text(encoding="utf-8").splitlines(keepends=True)
    rules.unlink()  # a hard link: the cached copy stays
    rules.write_text("".join(line for line in lines if "video4linux" not in line), encoding="utf-8")


def test_the_camera_belongs_to_the_group_video(vm: Machine) -> None:
    assert vm.run("stat -c '%U %G %a' /dev/video0") == "root video 660"
    assert vm.run("systemctl is-active dev-video0.device") == "active"


def test_a_webcam_gets_answers_inside_the_agents_sandbox(vm: Machine, measured: Measured) -> None:
    answered = vm.answered("gate")
    vm.wait_until("answering", lambda: vm.answered("gate") >= answered + 3)
    unit = "appliance-camera@gate"
    assert vm.show(unit, "NRestarts") == "0"
    process = vm.show(unit, "MainPID")
    shown = vm.run(f"ls -l /proc/{process}/fd; grep -E '^(Uid|NoNewPrivs|Seccomp|CapEff)' /proc/{process}/status")
    assert "/dev/video0" in shown
    assert re.search(r"CapEff:\s+0+$", shown, re.MULTILINE)
    assert re.search(r"Seccomp:\s+2$", shown, re.MULTILINE)
    assert not re.search(r"Uid:\s+0\b", shown)
    measured(vm.show(unit, "StatusText"))


def test_an_unplugged_webcam_is_reported_and_resumes_when_it_returns(vm: Machine, measured: Measured) -> None:
    unit = "appliance-camera@gate"
    was = vm.show(unit, "InvocationID")
    vm.run(f"echo vivid.0 > {_DRIVER}/unbind")
    log = f"journalctl -o cat -u {unit} _SYSTEMD_INVOCATION_ID={was}"
    vm.wait_until("the log of the disappeared camera", lambda: "the camera stopped" in vm.run(log))
    vm.wait_until("the log of the next attempt", lambda: "reopening in" in vm.run(log))
    assert vm.run("test -e /dev/video0 || echo gone") == "gone"
    answered = vm.answered("gate")
    vm.run(f"echo vivid.0 > {_DRIVER}/bind")
    vm.wait_until("answering again", lambda: vm.answered("gate") >= answered + 2)
    assert vm.show(unit, "InvocationID") == was
    measured(" | ".join(dict.fromkeys(line for line in vm.run(log).splitlines() if "camera stopped" in line)))


def test_raw_images_of_every_format_decode_to_the_same_colours(vm: Machine, measured: Measured) -> None:
    """vivid offers no JPEG, so FFmpeg uses a raw format; a real webcam may offer any of these formats only."""
    vm.run("systemctl stop appliance-camera@gate")
    python = "/opt/appliance/current/venv/bin/python"
    output = vm.run(f"{python} /root/camera_formats.py /dev/video0 {' '.join(_RAW)} 2>&1")
    vm.run("systemctl start --no-block appliance-camera@gate")
    measured(output.replace("\n", "; "))
    shown = {form: tuple(map(int, rest)) for form, *rest in map(str.split, output.splitlines())}
    assert tuple(shown) == _RAW
    for width, height, *colour in shown.values():
        assert (width, height) == (320, 180)
        assert all(abs(one - other) <= 3 for one, other in zip(colour, shown["rgb24"][2:], strict=True))
