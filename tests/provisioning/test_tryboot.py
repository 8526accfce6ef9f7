"""RAUC's backend for a Raspberry Pi's firmware, provisioning/image/tryboot, against a faked firmware.

The firmware is modelled after Raspberry Pi's documentation of autoboot.txt. No Pi has run this.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import ROOT

_BACKEND = ROOT / "provisioning/image/tryboot"
_STEPS = ("sync", "mv", "rm", "mkdir")
"""The commands by which the backend changes files."""
_FRESH = "[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=2\n"
_NUMBER = {"A": 2, "B": 3}


class _Pi:
    """A Raspberry Pi with system A; nothing has been written to B yet."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.choice, self.flag = folder / "boot/firmware/autoboot.txt", folder / "run/systemd/reboot-param"
        self._partition = folder / "proc/device-tree/chosen/bootloader/partition"
        for path in (self.choice, self.flag, self._partition):
            path.parent.mkdir(parents=True)
        self.choice.write_text(_FRESH)
        self.start()

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"TRYBOOT_ROOT": str(self.root)}

    @property
    def running(self) -> str:
        return {2: "A", 3: "B"}[self._partition.read_bytes()[3]]

    def call(self, *arguments: str) -> str:
        done = subprocess.run([_BACKEND, *arguments], env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def cut(self, step: int, *arguments: str) -> bool:
        """Make a call and cut the power before its step with this number; False: it has fewer steps."""
        tools, counter = self.root / "tools", self.root / "counter"
        tools.mkdir(exist_ok=True)
        counter.write_text("0")
        for name in _STEPS:
            (tools / name).write_text(
                f"#!/bin/sh\nread -r n <{counter}\necho $((n + 1)) >{counter}\n"
                f'[ "$n" != {step} ] || {{ kill -9 $PPID; exit 1; }}\nexec {shutil.which(name)} "$@"\n'
            )
            (tools / name).chmod(0o755)
        path = f"{tools}:{os.environ['PATH']}"
        done = subprocess.run([_BACKEND, *arguments], env=self.environment | {"PATH": path}, capture_output=True)
        self.start()
        return done.returncode != 0

    def restart(self) -> str:
        """What `systemctl reboot` does, and then the firmware; returns the system that runs."""
        return self.start(tried="tryboot" in self.flag.read_text() if self.flag.exists() else False)

    def start(self, *, tried: bool = False) -> str:
        """The firmware starts a system; `tried`: its flag is set, which it clears."""
        self.flag.unlink(missing_ok=True)  # /run is in memory
        named, section = {"all": 2, "tryboot": 2}, "all"
        for line in self.choice.read_text().splitlines() if self.choice.exists() else ():
            if line.startswith("["):
                section = line.strip("[]")
            elif line.startswith("boot_partition="):
                named[section] = int(line.partition("=")[2])
        self._partition.write_bytes(named["tryboot" if tried else "all"].to_bytes(4, "big"))
        return self.running


@pytest.fixture
def pi(tmp_path: Path) -> _Pi:
    return _Pi(tmp_path)


def _install(pi: _Pi) -> None:
    """What RAUC calls when it installs into the other system."""
    other = "B" if pi.running == "A" else "A"
    pi.call("set-state", other, "bad")
    pi.call("set-primary", other)


def test_a_fresh_device_starts_its_only_system(pi: _Pi) -> None:
    assert (pi.call("get-primary"), pi.call("get-current")) == ("A", "A")
    assert (pi.call("get-state", "A"), pi.call("get-state", "B")) == ("good", "bad")
    assert pi.start(tried=True) == "A"


def test_an_update_is_tried_once_and_kept_when_it_is_good(pi: _Pi) -> None:
    _install(pi)
    assert (pi.call("get-primary"), pi.call("get-state", "B")) == ("B", "good")
    assert pi.restart() == "B"
    pi.call("set-state", "B", "good")
    assert [pi.restart() for _ in range(2)] == ["B", "B"]
    assert (pi.call("get-primary"), pi.call("get-state", "A")) == ("B", "good")


@pytest.mark.parametrize("end", ["crash", "bad", "power cut before the restart"])
def test_an_update_that_is_not_kept_is_left_at_the_next_start(pi: _Pi, end: str) -> None:
    _install(pi)
    if end != "power cut before the restart":
        assert pi.restart() == "B"
    if end == "bad":
        pi.call("set-state", "B", "bad")
        assert pi.call("get-state", "B") == "bad"
    assert pi.restart() == "A" if end == "bad" else pi.start() == "A"
    assert pi.call("get-primary") == "A"


def test_choosing_the_running_system_again_forgets_the_update(pi: _Pi) -> None:
    _install(pi)
    pi.call("set-primary", "A")
    assert (pi.call("get-primary"), pi.restart()) == ("A", "A")


def test_a_kept_system_that_is_bad_makes_room_for_the_other_one(pi: _Pi) -> None:
    _install(pi)
    pi.restart()
    pi.call("set-state", "B", "good")
    pi.call("set-state", "B", "bad")
    assert (pi.restart(), pi.call("get-state", "B")) == ("A", "bad")


@pytest.mark.parametrize(
    "arguments",
    [("set-state", "A", "bad"), ("set-state", "C", "good"), ("set-state", "A", "fine"), ("get-state",), ("now",), ()],
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(pi: _Pi, arguments: tuple[str, ...]) -> None:
    done = subprocess.run([_BACKEND, *arguments], env=pi.environment, capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stderr
    assert pi.choice.read_text() == _FRESH


def test_a_damaged_choice_is_reported_and_not_guessed(pi: _Pi) -> None:
    pi.choice.write_text("")
    done = subprocess.run([_BACKEND, "get-primary"], env=pi.environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")


_BEFORE: dict[str, tuple[Callable[[_Pi], object], ...]] = {
    "fresh": (),
    "installed": (_install,),
    "tried": (_install, _Pi.restart),
    "kept": (_install, _Pi.restart, lambda pi: pi.call("set-state", "B", "good")),
}


@pytest.mark.parametrize("before", _BEFORE)
@pytest.mark.parametrize("call", ["set-state A good", "set-state A bad", "set-state B good", "set-state B bad",
                                  "set-primary A", "set-primary B"])  # fmt: skip
def test_a_power_cut_in_any_call_leaves_the_choice_before_or_after_it(tmp_path: Path, before: str, call: str) -> None:
    if (before, call) == ("fresh", "set-state A bad"):
        pytest.skip("refused: A is the only good one")

    def prepared(name: str) -> _Pi:
        made = _Pi(tmp_path / name)
        for act in _BEFORE[before]:
            act(made)
        return made

    uncut = prepared("uncut")
    old = uncut.choice.read_text()
    uncut.call(*call.split())
    new = uncut.choice.read_text()
    steps = 0
    while (one := prepared(f"cut-{steps}")).cut(steps, *call.split()):
        assert one.choice.read_text() in (old, new)
        assert one.call("get-primary") == one.running  # a cut forgets what was to be tried
        steps += 1
    assert one.choice.read_text() == new
    assert steps > 0 or new == old


@settings(max_examples=20, deadline=None)
@given(acts=st.lists(st.sampled_from(("install", "half", "restart", "cut", "good", "bad")), max_size=8))
def test_whatever_happens_a_whole_system_starts(tmp_path_factory: pytest.TempPathFactory, acts: list[str]) -> None:
    pi, whole = _Pi(tmp_path_factory.mktemp("pi")), {"A": True, "B": False}
    for act in acts:
        other = "B" if pi.running == "A" else "A"
        if act in ("install", "half"):
            pi.call("set-state", other, "bad")
            whole[other] = False  # it is being written
        if act == "install":
            whole[other] = True
            pi.call("set-primary", other)
        elif act == "restart":
            pi.restart()
        elif act in ("half", "cut"):
            pi.start()
        elif act == "good":
            pi.call("set-state", pi.running, "good")
        elif whole[other] and pi.call("get-state", other) == "good":
            pi.call("set-state", pi.running, "bad")
            pi.restart()
        assert whole[pi.running], acts


_SYSTEM = """[system]
compatible=test
bootloader=custom
bundle-formats=plain
mountprefix={folder}/mounts
[handlers]
bootloader-custom-backend={backend}
[keyring]
path={folder}/key.pem
[slot.rootfs.0]
device={folder}/a.img
type=raw
bootname=A
[slot.rootfs.1]
device={folder}/b.img
type=raw
bootname=B
"""
_MANIFEST = "[update]\ncompatible=test\nversion=2\n[bundle]\nformat=plain\n[image.rootfs]\nfilename=root.img\n"


@pytest.mark.provision
def test_rauc_installs_tries_and_keeps_a_system_with_it(pi: _Pi, tmp_path: Path) -> None:
    missing = [name for name in ("rauc", "mksquashfs", "dbus-run-session", "openssl") if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"missing: {', '.join(missing) or 'root, to mount a bundle'}")
    for name in ("a", "b"):
        (tmp_path / f"{name}.img").write_bytes(bytes(2**20))
    (tmp_path / "content").mkdir()
    image = os.urandom(100_000)
    (tmp_path / "content/root.img").write_bytes(image)
    (tmp_path / "content/manifest.raucm").write_text(_MANIFEST)
    (tmp_path / "system.conf").write_text(_SYSTEM.format(folder=tmp_path, backend=_BACKEND))
    key = ["-keyout", f"{tmp_path}/key.key", "-out", f"{tmp_path}/key.pem"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9", "-subj", "/CN=test"]
    subprocess.run(["openssl", "req", "-x509", *curve, *key], check=True, capture_output=True)
    signed = [f"--cert={tmp_path}/key.pem", f"--key={tmp_path}/key.key", f"--keyring={tmp_path}/key.pem"]
    bundle = ["bundle", f"{tmp_path}/content", f"{tmp_path}/update.raucb"]
    subprocess.run(["rauc", *signed, *bundle], check=True, capture_output=True)

    output = _with_rauc(pi, f"rauc install {tmp_path}/update.raucb && rauc status")
    assert "Activated: rootfs.1 (B)" in output
    assert (tmp_path / "b.img").read_bytes().startswith(image)
    assert pi.restart() == "B"
    _with_rauc(pi, "rauc status mark-good")
    assert pi.start() == "B"
    assert "Activated: rootfs.1 (B)" in _with_rauc(pi, "rauc status")
    _with_rauc(pi, "rauc status mark-bad")
    assert pi.restart() == "A"


def _with_rauc(pi: _Pi, script: str) -> str:
    """Run a script while RAUC's service runs on a bus of its own; returns its output."""
    service = f"rauc -c {pi.root}/system.conf --override-boot-slot={pi.running} service >{pi.root}/rauc.log 2>&1"
    wait = "n=0; until rauc status >/dev/null 2>&1; do n=$((n+1)); [ $n -lt 60 ] && kill -0 %1; sleep 0.5; done"
    text = f"set -e; export DBUS_STARTER_BUS_TYPE=session; {service} & trap 'kill %1' EXIT; {wait}; {script}"
    started_s = time.monotonic()
    done = subprocess.run(
        ["dbus-run-session", "--", "bash", "-c", text],
        env=pi.environment | {"TERM": "dumb"}, capture_output=True, text=True,
    )  # fmt: skip
    log = (pi.root / "rauc.log").read_text()
    assert done.returncode == 0, f"after {time.monotonic() - started_s:.0f} s: {done.stdout}{done.stderr}{log}"
    return done.stdout
