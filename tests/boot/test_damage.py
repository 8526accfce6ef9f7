"""Damaged files, a full or read-only disk: the device stays reachable, reports what to fix, and detects if it can."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.boot import container
from tests.boot.conftest import Measured
from tests.boot.container import Container

pytestmark = pytest.mark.boot

_SERVICE = "appliance.service"
_MODEL = "/opt/appliance/models/yolo11n"


@pytest.fixture(scope="module")
def device(root: Path) -> Iterator[Container]:
    """A device whose state and cache are separate file systems, small enough to fill."""
    small = ("--tmpfs=/var/lib/appliance:size=2M,mode=0750", "--tmpfs=/var/cache/appliance:size=40M,mode=0750")
    with container.boot(root, f"appliance-{os.getpid()}", small) as booted:
        booted.wait_until_active()
        yield booted


@pytest.fixture(autouse=True)
def _ready(device: Container) -> None:
    device.run("systemctl", "reset-failed")
    device.wait_until("ready", lambda: device.get("/health/ready")[0] == 200)


def test_a_damaged_model_is_reported_and_detection_resumes_after_the_repair(
    device: Container, measured: Measured
) -> None:
    device.run("sh", "-c", f"cp -r {_MODEL} /root/model && truncate -s -1000 {_MODEL}/model.bin")
    device.run("systemctl", "restart", _SERVICE)
    status, report = device.get("/health")
    assert (status, report["status"], report["model_loaded"]) == (503, "critical", False)
    assert "damaged" in str(report["findings"])
    assert device.get("/health/ready")[0] == 503
    measured(device.show(_SERVICE, "StatusText"))
    device.run("sh", "-c", f"rm -r {_MODEL} && mv /root/model {_MODEL}")
    device.run("systemctl", "reload", _SERVICE)
    device.wait_until("ready again", lambda: device.get("/health/ready")[0] == 200)


def test_boot_complete_is_not_reached_when_the_self_test_fails(device: Container) -> None:
    check = "/usr/libexec/appliance/boot-check http://127.0.0.1:8080/health/ready 1"
    device.drop_in("appliance-boot-check.service", f"[Service]\nExecStart=\nExecStart={check}\n")
    device.run("sh", "-c", f"mv {_MODEL} /root/model")
    device.run("systemctl", "restart", _SERVICE)
    device.run("systemctl", "start", "boot-complete.target", may_fail=True)
    assert device.show("boot-complete.target", "ActiveState") == "inactive"
    assert "is not ready" in device.journal("appliance-boot-check.service")
    device.run("sh", "-c", f"mv /root/model {_MODEL}")
    device.run("systemctl", "reload", _SERVICE)


def test_invalid_settings_are_reported_with_the_line_and_detection_resumes_after_the_fix(
    device: Container, measured: Measured
) -> None:
    device.write("/etc/appliance/appliance.toml", "[server]\nprot = 9000\n", owner="root:appliance")
    device.run("systemctl", "restart", _SERVICE)
    status, report = device.get("/health")
    assert status == 503
    assert "server.prot" in str(report["findings"])
    measured(device.show(_SERVICE, "StatusText"))
    device.write("/etc/appliance/appliance.toml", "[server]\nping_interval_s = 20\n", owner="root:appliance")
    device.wait_until("ready by itself", lambda: device.get("/health/ready")[0] == 200)


def test_a_damaged_cache_of_compiled_networks_is_rebuilt(device: Container) -> None:
    files = device.run("find", "/var/cache/appliance/compiled", "-type", "f").split()
    assert files, "nothing is cached"
    for file in files:
        device.run("truncate", "--size=1000000", file)
    device.run("systemctl", "restart", _SERVICE)


def test_damaged_state_is_set_aside_with_a_finding_and_detection_continues(
    device: Container, measured: Measured
) -> None:
    device.run("systemctl", "stop", _SERVICE)
    for file in ("history", "lock"):
        device.run("sh", "-c", f"head -c 400000 /dev/urandom >/var/lib/appliance/{file}")
    device.run("systemctl", "start", _SERVICE)
    findings = {finding["code"]: finding for finding in device.get("/health")[1]["findings"]}
    assert "history.corrupt-1" in device.run("ls", "/var/lib/appliance")
    measured(findings["state_set_aside"]["what"])
    device.run("rm", "/var/lib/appliance/history.corrupt-1")


def test_detection_continues_on_a_full_disk(device: Container, measured: Measured) -> None:
    for folder in ("/var/lib/appliance", "/var/cache/appliance"):
        device.run("sh", "-c", f"dd if=/dev/zero of={folder}/full bs=64k 2>/dev/null", may_fail=True)
    device.run("systemctl", "restart", _SERVICE)
    device.wait_until("ready", lambda: device.get("/health/ready")[0] == 200)
    assert device.get("/health")[1]["status"] != "critical"
    for folder in ("/var/lib/appliance", "/var/cache/appliance"):
        device.run("rm", f"{folder}/full")


def test_detection_continues_on_a_read_only_file_system(device: Container, measured: Measured) -> None:
    folders = ("/var/lib/appliance", "/var/cache/appliance")
    for folder in folders:
        # A file that is open for writing, such as the lock during a compilation, delays this.
        device.wait_until("read-only", partial(_is_remounted, device, folder))
    assert device.get("/health/ready")[0] == 200
    device.run("systemctl", "restart", _SERVICE)
    device.wait_until("ready", lambda: device.get("/health/ready")[0] == 200)
    for folder in folders:
        device.run("mount", "-o", "remount,rw", folder)


def _is_remounted(device: Container, folder: str) -> bool:
    try:
        device.run("mount", "-o", "remount,ro", folder)
    except AssertionError:
        return False
    return True
