"""The disk image: it starts by itself, and an update that does not work is undone (`make image-test`).

The tests share one machine and run in this order. BOARD: which image (arm64: emulated on another processor it takes
hours). IMAGE_DIR names a folder with image, update and keys of an earlier run, to save the minutes that making them
takes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.boot import machine
from tests.boot.conftest import Measured
from tests.boot.machine import FirmwareMachine
from tests.conftest import ROOT
from tests.provisioning.blank import ask
from tests.provisioning.conftest import Bundle

pytestmark = [pytest.mark.image]

_BOARD = os.environ.get("BOARD", "generic-amd64")
_MACHINE, _ARCH = ("x86_64", "amd64") if _BOARD == "generic-amd64" else ("aarch64", "arm64")
_BUILD = ROOT / "provisioning/image/build.py"
_MIB = 2**20
_DISK_BYTES = 7_000_000_000
_STATE_MIB = 1024
# An emulated CPU takes minutes for what a board does in 0.1 s.
_SETTINGS = 'profile = "production"\n[model]\ndir = "/opt/appliance/models"\n[flow]\nmax_side = 320\ndeadline_s = 120\n'
_FACTOR = 1 if _MACHINE == "x86_64" else 6
_LONG_TIMEOUTS = f"[Service]\nWatchdogSec={2 * _FACTOR}min\nTimeoutStartSec={10 * _FACTOR}min\n"
_SLOT_CHECK = (
    "[Service]\nExecStart=\nExecStart=/usr/libexec/appliance-image/slot-check {seconds}\nTimeoutStartSec=infinity\n"
)
_SLOT_DROP_IN = "appliance-slot.service.d/90-test.conf"
_UNITS = machine.SHELL | {
    "appliance.service.d/90-test.conf": _LONG_TIMEOUTS,
    _SLOT_DROP_IN: _SLOT_CHECK.format(seconds=600 * _FACTOR),
}
"""A root shell for the test, on the state partition. The image does not have it."""


@pytest.fixture(scope="module")
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `ours.key`, `ours.pem`, `foreign.key`, `foreign.pem`, an image and an update bundle."""
    if why_not := machine.why_not(_MACHINE):
        pytest.skip(f"no virtual machine here: {why_not}")
    if "IMAGE_DIR" in os.environ:
        return Path(os.environ["IMAGE_DIR"])
    bundle: Bundle = request.getfixturevalue("bundle")
    folder = tmp_path_factory.mktemp("image")
    for name in ("ours", "foreign"):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-days", "3650", "-subj", f"/CN={name}", "-keyout", folder / f"{name}.key",
             "-out", folder / f"{name}.pem"],
            check=True, capture_output=True,
        )  # fmt: skip
    done = subprocess.run(
        [sys.executable, _BUILD, "--board", _BOARD, "--bundle", bundle(_ARCH, "3.11"), "--keyring", folder / "ours.pem",
         "--certificate", folder / "ours.pem", "--key", folder / "ours.key", "--out", folder],
        capture_output=True, text=True,
    )  # fmt: skip
    if "apt-get install" in done.stderr or "needs root" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def vm(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FirmwareMachine]:
    """A machine whose disk is the image, larger than it, with a stick that holds updates."""
    work = tmp_path_factory.mktemp("machine")
    (image,) = made.glob("*.img")
    disk = work / "disk.img"
    subprocess.run(["cp", "--sparse=always", image, disk], check=True)
    os.truncate(disk, _DISK_BYTES)
    _prepare_state(work, disk, image.stat().st_size)
    (work / "appliance.toml").write_text(_SETTINGS)
    subprocess.run(["mcopy", "-i", f"{disk}@@{_MIB}", work / "appliance.toml", "::appliance.toml"], check=True)
    with FirmwareMachine(disk, _stick(made, work), _MACHINE) as booted:
        yield booted


def test_the_image_becomes_a_ready_device_that_answers_only_with_a_token(
    vm: FirmwareMachine, measured: Measured
) -> None:
    started_s = time.monotonic()
    vm.wait_until("ready", lambda: vm.get("/health/ready")[0] == 200)
    ready_s = time.monotonic() - started_s
    assert vm.get("/metrics")[0] in (401, 403)
    answer = ask(vm.http_port, vm.token())
    assert [found["name"] for found in answer["detections"]] == ["stop sign"], answer
    measured(f"ready {ready_s:.0f} s after switching on, emulated; a frame answered")


def test_it_adapts_to_its_board_and_disk(vm: FirmwareMachine) -> None:
    assert vm.run("hostname").startswith("appliance-")
    assert "memory-2g.conf" in vm.run("ls /etc/systemd/system/appliance.service.d")
    assert "max_side = 320" in vm.run("cat /etc/appliance/appliance.toml")
    assert vm.run("ls /boot/firmware/appliance.toml 2>&1").endswith("No such file or directory")
    assert int(vm.run("df --output=size -m /state | tail -1")) > 2000
    assert vm.run("findmnt -no OPTIONS /").startswith("ro")
    assert vm.run("systemctl --failed --no-legend --plain | grep -v ^shell@ || true") == ""
    vm.wait_until("marked as good", lambda: "A_TRY=0" in _boot_choice(vm))


def test_a_power_cut_keeps_name_and_token(vm: FirmwareMachine) -> None:
    name, _ = vm.run("hostname"), vm.run("sync")
    vm.pull_the_plug()
    vm.switch_on()
    vm.wait_until_ready()
    assert vm.run("hostname") == name
    answer = ask(vm.http_port, vm.token())
    assert [found["name"] for found in answer["detections"]] == ["stop sign"], answer
    vm.wait_until("marked as good", lambda: "A_TRY=0" in _boot_choice(vm))


def test_foreign_and_damaged_updates_are_refused(vm: FirmwareMachine) -> None:
    vm.run("mkdir -p /run/stick && mount -o ro /dev/vda /run/stick")
    for name in ("foreign", "flipped"):
        output = vm.run(f"rauc install /run/stick/{name}.raucb 2>&1; echo exit code $?")
        assert not output.endswith("exit code 0"), (name, output)
    assert "B_OK=0" in _boot_choice(vm)


def test_an_update_runs_from_the_other_slot(vm: FirmwareMachine, measured: Measured) -> None:
    started_s = time.monotonic()
    output = vm.run("rauc install /run/stick/update.raucb 2>&1; echo exit code $?")
    assert output.endswith("exit code 0"), output
    installed_s = time.monotonic() - started_s
    _restart(vm)
    vm.wait_until_ready()
    assert "rauc.slot=B" in vm.run("cat /proc/cmdline")
    answer = ask(vm.http_port, vm.token())  # state and tokens are kept
    assert [found["name"] for found in answer["detections"]] == ["stop sign"], answer
    vm.wait_until("marked as good", lambda: {"B_TRY=0", "B_OK=1"} <= _boot_choice(vm))
    measured(f"installed in {installed_s:.0f} s, emulated; the other slot is ready and marked as good")


def test_an_update_that_sees_nothing_is_undone(vm: FirmwareMachine, measured: Measured) -> None:
    vm.run("mount -o ro /dev/vda /run/stick 2>/dev/null || { mkdir -p /run/stick; mount -o ro /dev/vda /run/stick; }")
    output = vm.run("rauc install /run/stick/update.raucb 2>&1; echo exit code $?")
    assert output.endswith("exit code 0"), output
    vm.run(
        "mkdir -p /run/other && mount /dev/disk/by-partlabel/root-a /run/other && "
        "printf x > /run/other/opt/appliance/models/yolo11n/model.bin && umount /run/other && "
        f"printf '{_SLOT_CHECK.format(seconds=60)}' > /etc/systemd/system/{_SLOT_DROP_IN} && sync"
    )
    started_s = time.monotonic()
    _restart(vm)
    vm.wait_until("up", lambda: "rauc.slot=A" in _tried(vm, "cat /proc/cmdline"))
    vm.wait_until("back", lambda: "rauc.slot=B" in _tried(vm, "cat /proc/cmdline"))
    vm.wait_until_ready()
    assert "A_OK=0" in _boot_choice(vm)
    measured(f"back on the slot that worked {time.monotonic() - started_s:.0f} s after the restart, emulated")


def _restart(vm: FirmwareMachine) -> None:
    boot = vm.run("cat /proc/sys/kernel/random/boot_id")
    _tried(vm, "systemctl reboot")
    vm.wait_until("restarted", lambda: _tried(vm, "cat /proc/sys/kernel/random/boot_id") not in ("", boot))


def _tried(vm: FirmwareMachine, script: str) -> str:
    """The output of a script; "" while the machine restarts."""
    try:
        return vm.run(script)
    except OSError:
        return ""


def _boot_choice(vm: FirmwareMachine) -> set[str]:
    return set(_tried(vm, "grub-editenv /boot/firmware/grub/grubenv list").splitlines())


def _prepare_state(work: Path, disk: Path, image_bytes: int) -> None:
    """Put the test's shell on the state partition, the last one of the image."""
    units = work / "state/etc/upper/systemd/system"
    for name, text in _UNITS.items():
        (units / name).parent.mkdir(parents=True, exist_ok=True)
        (units / name).write_text(text)
    (units / "sockets.target.wants").mkdir()
    (units / "sockets.target.wants/shell.socket").symlink_to("../shell.socket")
    state = work / "state.img"
    with state.open("wb") as file:
        file.truncate(_STATE_MIB * _MIB)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-L", "state", "-d", work / "state", state], check=True)
    start = image_bytes // _MIB - 1 - _STATE_MIB
    subprocess.run(
        ["dd", f"if={state}", f"of={disk}", "bs=1M", f"seek={start}", "conv=notrunc,sparse", "status=none"], check=True
    )


def _stick(made: Path, work: Path) -> Path:
    """A file system with the update, the same with a flipped byte, and one that somebody else has signed."""
    folder = work / "stick"
    folder.mkdir()
    (bundle,) = made.glob("*.raucb")
    shutil.copy(bundle, folder / "update.raucb")
    shutil.copy(bundle, folder / "flipped.raucb")
    with (folder / "flipped.raucb").open("r+b") as file:
        file.seek(bundle.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    content = work / "foreign"
    content.mkdir()
    (content / "root.img").write_bytes(os.urandom(_MIB))
    (content / "manifest.raucm").write_text(
        f"[update]\ncompatible=appliance-{_BOARD}\nversion=9\n[bundle]\nformat=verity\n"
        "[image.rootfs]\nfilename=root.img\n"
    )
    subprocess.run(
        ["rauc", f"--cert={made / 'foreign.pem'}", f"--key={made / 'foreign.key'}",
         f"--keyring={made / 'foreign.pem'}", "bundle", content, folder / "foreign.raucb"],
        check=True, capture_output=True,
    )  # fmt: skip
    stick = work / "stick.img"
    with stick.open("wb") as file:
        file.truncate(2 * bundle.stat().st_size + 200 * _MIB)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", folder, stick], check=True)
    return stick
